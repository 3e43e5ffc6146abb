"""Custom taxonomies through a batch: reports use their codes, names and actions, and none of the default taxonomy."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from rca_lib.audits.taxonomy import DEFAULT_TAXONOMY, read_taxonomy
from rca_lib.batch.batch_run import run_batch
from rca_lib.reporting.deep_dive import run_deep_dive
from rca_lib.reporting.page_one import build_page_one
from rca_lib.store.cases import open_case

DEFAULT_CODES = tuple(read_taxonomy().causes)
CODE_PATTERN = re.compile(rf"\b({'|'.join(map(re.escape, sorted(DEFAULT_CODES, key=len, reverse=True)))})\b")
PERIOD = "2026-02"
PLAIN = """
causes:
  WORK: {name: Work of the team, owner: site, controllable_by: site}
  TRUTH: {name: Audit at fault, owner: qa, controllable_by: client, measurement: true}
  OPEN: {name: Still open, owner: qa, controllable_by: shared}
unknown: OPEN
rules: {}
"""
GENERAL_TEXTS = {
    "TRUTH": "Audit a blind sample of the affected truths again before coaching anyone",
    "OPEN": "Review the largest disagreements with the site and code their causes",
}


def rename(code):
    """Return another code in the place of a code of the default taxonomy, below the renamed parent."""
    parts = code.split(".")
    numbers = [DEFAULT_CODES.index(".".join(parts[: length + 1])) for length in range(len(parts))]
    return ".".join(f"Q{number:02d}" for number in numbers)


def write_renamed_taxonomy():
    """Return the default taxonomy with other codes, names and action texts."""
    text = CODE_PATTERN.sub(lambda match: rename(match[0]), DEFAULT_TAXONOMY.read_text(encoding="utf-8"))
    text = re.sub(r'\bname: ("?)', r"name: \1Own ", text)
    return re.sub(r'\btext: "', 'text: "Own action: ', text)


def make_export(folder, codes):
    """Write two sites: at one a policy got worse, at the other truth and an auditor changed. Some errors have codes."""
    place = Path(__file__).with_name("test_incidents.py")
    spec = importlib.util.spec_from_file_location("incidents_of_taxonomies", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    incidents = {"here": {"policy": 10.0}, "there": {"strict auditor": 0.25, "stale truth": 0.7}}
    for seed, (site, sizes) in enumerate(incidents.items()):
        audits = module.make_audits(seed, sizes, months=("2026-01", PERIOD), per_month=3000)
        audits["audit_id"] = site + audits["audit_id"]
        audits["cause_code"] = ""
        errors = audits.index[audits["error"] == 1]
        audits.loc[errors[::3], "cause_code"] = codes[0]
        audits.loc[errors[1::9], "cause_code"] = codes[1]
        audits["dispute"] = "none"
        audits.loc[errors[2::9], "dispute"] = "upheld_rater"
        audits = audits.assign(site=site).drop(columns=["day", "error"])
        audits.to_csv(folder / "audits.csv", index=False, mode="a", header=seed == 0)
    events = "event_id,type,start,end,title,scope,visibility\n"
    events += f"e-1,policy_update,{PERIOD}-01,,New version of spam,site=here;policy=spam,all\n"
    (folder / "events.csv").write_text(events, encoding="utf-8")


def run(folder, taxonomy, codes):
    """Run a batch with a taxonomy and return it."""
    make_export(folder, codes)
    (folder / "own.yml").write_text(taxonomy, encoding="utf-8")
    (folder / "mapping.yml").write_text("time_zone: UTC\n", encoding="utf-8")
    batch = "batch: own\ndata: audits.csv\nmapping: mapping.yml\nevents: events.csv\ntaxonomy: own.yml\n"
    (folder / "batch.yml").write_text(f"{batch}periods: [{PERIOD}]\n", encoding="utf-8")
    return run_batch(folder / "batch.yml", reports=folder / "reports")


def read_causes(job, site):
    """Return the findings about causes and actions of a report."""
    told = json.loads((job.folder / site / PERIOD / "findings.json").read_text(encoding="utf-8"))
    return [finding for finding in told["findings"] if finding["question"] in ("causes", "actions")]


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    codes = [rename("PPL.SLIP"), rename("MEA.GT_AMBIG")]
    return run(tmp_path_factory.mktemp("renamed"), write_renamed_taxonomy(), codes)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), PLAIN, ["WORK", "TRUTH"])


@pytest.mark.parametrize("name", ["renamed", "plain"])
def test_a_batch_with_a_custom_taxonomy_runs_to_its_end(name, request):
    job = request.getfixturevalue(name)
    assert [outcome.error for outcome in job.outcomes if outcome.outcome == "failed"] == []
    assert {path.parents[1].name for path in job.folder.glob("*/*/claims.json")} == {"here", "there"}


@pytest.mark.parametrize("name", ["renamed", "plain"])
def test_no_report_holds_a_code_of_the_default_taxonomy(name, request):
    reports = [*request.getfixturevalue(name).folder.glob("*/*/findings.json")]
    reports += request.getfixturevalue(name).folder.glob("*/*/report.ipynb")
    assert len(reports) >= 4
    dotted = [code for code in DEFAULT_CODES if "." in code]
    texts = {str(file): file.read_text(encoding="utf-8") for file in reports}
    assert [(file, code) for file, text in texts.items() for code in dotted if code in text] == []


def test_reports_use_the_codes_names_and_actions_of_a_renamed_taxonomy(renamed):
    taxonomy = read_taxonomy(renamed.folder.parents[1] / "own.yml")
    expected = {"here": ["policy_update"], "there": ["stale truth", "auditors"]}
    for site, subjects in expected.items():
        answers = run_deep_dive(open_case(renamed.folder / "_audits", site=site, period=PERIOD))
        page = str(build_page_one(answers))
        kinds = [finding["kind"] for finding in read_causes(renamed, site)]
        for cause in map(taxonomy.find_cause, subjects):
            assert cause.code.startswith("Q") and cause.action.text.startswith("Own action: ")
            assert cause.code in [ranked.code for ranked in answers.causes.causes]
            assert cause.code in kinds and cause.action.kind in kinds
            assert cause.action.text in page
            assert cause.name in page or cause.measurement  # the sentence of a measurement cause has no name


def test_causes_without_actions_or_subjects_get_general_ones(plain):
    for site, code in (("here", "OPEN"), ("there", "TRUTH")):
        answers = run_deep_dive(open_case(plain.folder / "_audits", site=site, period=PERIOD))
        assert {cause.code for cause in answers.causes.causes} == {code}
        assert GENERAL_TEXTS[code] in str(build_page_one(answers))
