import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from rca_lib.stats.clusters import READ, STABLE, _set_apart, split_texts
from rca_lib.stats.texts import read_texts

TOPICS = (
    "screen stayed black and the video never loaded",
    "slur written in the local dialect that raters could not read",
    "satire quoted by a newspaper without any intent",
)
FILLER = ("item", "case", "seen", "again", "today", "queue", "clear", "look", "note", "check", "report", "user")


def _planted(seed, sizes, *, noise=4):
    """Texts of five words of their topic and some of no topic, shuffled, with the topic of each."""
    random = np.random.default_rng(seed)
    topics = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    texts = [
        " ".join([*random.choice(TOPICS[topic].split(), 5, replace=False), *random.choice(FILLER, noise)])
        for topic in topics
    ]
    return texts, topics


@pytest.mark.parametrize("seed", range(4))
def test_planted_topics_are_found_whole_and_named_by_their_words(seed):
    texts, topics = _planted(seed, (90, 60, 50))
    split = split_texts(texts, seed=seed)
    assert len(split.terms) == 3
    parts = np.array(split.parts)
    assert np.bincount(parts).tolist() == sorted(np.bincount(parts), reverse=True)
    # Each topic has eight to ten words of its own: 99 of 100 texts can be told.
    right = sum(np.bincount(topics[parts == part]).max() for part in range(3))
    assert right >= 0.99 * len(texts)
    for part, terms in enumerate(split.terms):
        assert set(terms) <= set(TOPICS[np.bincount(topics[parts == part]).argmax()].split())
    assert split.stability >= 0.9


def test_texts_without_a_topic_are_hardly_ever_split():
    # Words drawn at random: the split of one resample says nothing of the next one's.
    random, vocabulary, split = (
        np.random.default_rng(0),
        [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)],
        0,
    )
    for seed in range(4):
        found = split_texts([" ".join(random.choice(vocabulary, 9)) for _ in range(200)], seed=seed)
        split += len(found.terms) > 1
        assert found.stability < STABLE
        assert set(found.parts) == {0} and found.terms == ((),)
    assert split == 0


def test_one_text_many_times_or_no_words_are_not_split():
    for texts in (
        ["the same comment"] * 200,
        [""] * 200,
        [f"word{'x' * i}" for i in range(200)],
        ["one"],
        ["1 2"] * 200,
    ):
        split = split_texts(texts)
        assert (len(split.parts), split.terms) == (len(texts), ((),))


def test_a_handful_of_odd_texts_makes_no_part():
    split = split_texts([TOPICS[0]] * 190 + [TOPICS[1]] * 10)
    assert split.terms == ((),)
    assert split.stability == 0.0  # too small to be tried: SMALLEST is 15
    assert len(split_texts([TOPICS[0]] * 190 + [TOPICS[1]] * 15).terms) == 2


def test_of_many_texts_some_are_read_and_all_are_placed():
    texts = [TOPICS[0], TOPICS[1]] * READ
    split = split_texts(texts, seed=3)
    assert len(texts) == len(split.parts) == 2 * READ
    assert [set(split.parts[start::2]) for start in (0, 1)] in ([{0}, {1}], [{1}, {0}])
    assert split_texts(texts, seed=3) == split


@pytest.mark.parametrize(
    "pair",
    [
        ("видео не загрузилось", "оскорбление на диалекте"),
        ("视频无法播放", "当地方言的侮辱"),
        ("ภาพไม่โหลด", "คำด่าท้องถิ่น"),
        ("الفيديو لم يعمل", "إهانة باللهجة المحلية"),
    ],
)
def test_any_script_has_words(pair):
    split = split_texts([pair[0]] * 80 + [pair[1]] * 80)
    assert len(split.terms) == 2 and split.parts[0] != split.parts[-1]


def test_the_words_of_a_part_are_those_computed_by_hand():
    # Texts with each word, by part: black 40/0, pixels 20/0, note 20/10, slur 0/40, local 0/25. With 155 counts over
    # two parts a class holds 77.5 on average: black weighs 1·ln(1 + 77.5/40) = 1.08, pixels .5·ln(1 + 77.5/20) = .79
    # and note .5·ln(1 + 77.5/30) = .64, all at least half as much; note is just twice as frequent as in the other
    # part. Slur weighs 1.08, local .625·ln(1 + 77.5/25) = .88. The order is the alphabet's.
    first = ["black pixels"] * 20 + ["black note"] * 20
    second = ["slur local"] * 25 + ["slur note"] * 10 + ["slur"] * 5
    matrix = CountVectorizer().fit(first + second)
    words, counts = matrix.get_feature_names_out(), matrix.transform(first + second)
    parts = np.repeat([0, 1], 40)
    assert _set_apart(counts, parts, words) == (("black", "note"), ("local", "slur"))
    # With a rival note more, note is no longer twice as frequent in the first part.
    counts = matrix.transform([*first, *second[:-1], "slur note"])
    assert _set_apart(counts, parts, words) == (("black", "pixels"), ("local", "slur"))


def test_the_same_seed_gives_the_same_split_and_the_names_hold_from_period_to_period():
    texts, _ = _planted(1, (90, 70))
    assert split_texts(texts, seed=5) == split_texts(texts, seed=5)
    names = {split_texts(_planted(seed, (90, 70))[0], seed=seed).terms for seed in range(2)}
    assert names == {(("black", "loaded"), ("dialect", "local"))}


def test_long_and_hostile_texts_are_clipped_and_kept():
    hostile = ["a " * 500_000, "\x00\x00", "<script>alert(1)</script>", "\ud800x", None]
    texts = read_texts(pd.DataFrame({"comment": [*hostile, *[TOPICS[0]] * 50, *[TOPICS[1]] * 50]}), "comment").tolist()
    assert (len(texts[0]), texts[3:5]) == (2_000, ["?x", ""])
    split = split_texts(texts)
    assert len(split.parts) == len(texts)
    assert len(split.terms) == 2
