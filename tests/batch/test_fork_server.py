"""The fork server: the encoder that another process loads meanwhile, and forks that inherit all imports.

That runs work through it, and what happens if it is killed, is tested in `test_runner` and `test_batch_run`.
"""

import os
import signal
import subprocess
import sys

import pytest

from rca_lib.batch import fork_server
from rca_lib.batch.fork_server import ForkServer
from rca_lib.stats.text import embedding


@pytest.mark.parametrize(
    "write",
    [fork_server.write_encoder, lambda file: file.write(b"half"), lambda _: os.kill(os.getpid(), signal.SIGKILL)],
    ids=["written", "damaged", "killed"],
)
def test_the_encoder_is_complete_even_if_the_process_that_loads_it_fails(monkeypatch, write):
    texts = ["a queue", "очередь"]
    expected = embedding.load_encoder().encode(texts)
    monkeypatch.setattr(embedding, "_ENCODER_CACHE", [])
    monkeypatch.setattr(fork_server, "write_encoder", write)
    with fork_server.preload_encoder():
        assert not embedding._ENCODER_CACHE
    (encoder,) = embedding._ENCODER_CACHE
    assert (encoder.encode(texts) == expected).all()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_a_server_that_ends_early_gives_an_error(tmp_path):
    server = ForkServer({**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}, tmp_path / "log")
    server._process.wait()
    with subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process, pytest.raises(OSError):
        server.fork(process.stdin.fileno(), process.stdout.fileno(), tmp_path / "log")
    server.close()
