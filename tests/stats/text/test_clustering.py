"""Text clustering: planted topics are found and named, texts without topics are not split."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from rca_lib.stats.text.clustering import MAX_FITTED_TEXTS, MIN_STABILITY, _distinctive_terms, cluster_texts
from rca_lib.stats.text.embedding import extract_texts

TOPICS = (
    "screen stayed black and the video never loaded",
    "slur written in the local dialect that raters could not read",
    "satire quoted by a newspaper without any intent",
)
FILLER = ("item", "case", "seen", "again", "today", "queue", "clear", "look", "note", "check", "report", "user")


def draw_texts(seed, sizes, *, n_fillers=4):
    """Draw texts of five words of their topic and some of no topic, shuffled; return them with their topics."""
    random = np.random.default_rng(seed)
    topics = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    texts = [
        " ".join([*random.choice(TOPICS[topic].split(), 5, replace=False), *random.choice(FILLER, n_fillers)])
        for topic in topics
    ]
    return texts, topics


@pytest.mark.parametrize("seed", range(4))
def test_planted_topics_are_found_and_named_by_their_words(seed):
    texts, topics = draw_texts(seed, (90, 60, 50))
    clustering = cluster_texts(texts, seed=seed)
    assert len(clustering.terms) == 3
    labels = np.array(clustering.labels)
    assert np.bincount(labels).tolist() == sorted(np.bincount(labels), reverse=True)
    topic_counts = [np.bincount(topics[labels == label]) for label in range(3)]
    # Each topic has eight to ten words of its own, so that 99 of 100 texts can be assigned correctly.
    assert sum(counts.max() for counts in topic_counts) >= 0.99 * len(texts)
    for counts, terms in zip(topic_counts, clustering.terms, strict=True):
        assert set(terms) <= set(TOPICS[counts.argmax()].split())
    assert clustering.stability >= 0.9


def test_texts_without_a_topic_are_not_split():
    # The words are drawn at random: the clusters of one resample do not predict those of another.
    random = np.random.default_rng(0)
    vocabulary = [f"w{chr(97 + index // 26)}{chr(97 + index % 26)}" for index in range(200)]
    for seed in range(4):
        clustering = cluster_texts([" ".join(random.choice(vocabulary, 9)) for _ in range(200)], seed=seed)
        assert clustering.stability < MIN_STABILITY
        assert set(clustering.labels) == {0}
        assert clustering.terms == ((),)


@pytest.mark.parametrize(
    "texts",
    [
        ["the same comment"] * 200,
        [""] * 200,
        [f"word{'x' * index}" for index in range(200)],
        ["one"],
        ["1 2"] * 200,
    ],
    ids=["identical", "empty", "distinct words", "single text", "no words"],
)
def test_texts_without_differences_or_common_words_are_not_split(texts):
    clustering = cluster_texts(texts)
    assert (len(clustering.labels), clustering.terms) == (len(texts), ((),))


def test_a_cluster_has_at_least_15_texts():
    clustering = cluster_texts([TOPICS[0]] * 190 + [TOPICS[1]] * 10)
    assert clustering.terms == ((),)
    assert clustering.stability == 0.0  # no number of clusters is tried: MIN_CLUSTER_SIZE is 15
    assert len(cluster_texts([TOPICS[0]] * 190 + [TOPICS[1]] * 15).terms) == 2


def test_of_many_texts_a_sample_is_fitted_and_all_are_assigned():
    texts = [TOPICS[0], TOPICS[1]] * MAX_FITTED_TEXTS
    clustering = cluster_texts(texts, seed=3)
    assert len(texts) == len(clustering.labels) == 2 * MAX_FITTED_TEXTS
    assert [set(clustering.labels[start::2]) for start in (0, 1)] in ([{0}, {1}], [{1}, {0}])
    assert cluster_texts(texts, seed=3) == clustering


@pytest.mark.parametrize(
    "pair",
    [
        ("видео не загрузилось", "оскорбление на диалекте"),
        ("视频无法播放", "当地方言的侮辱"),
        ("ภาพไม่โหลด", "คำด่าท้องถิ่น"),
        ("الفيديو لم يعمل", "إهانة باللهجة المحلية"),
    ],
)
def test_texts_in_any_script_have_terms(pair):
    first, second = pair
    clustering = cluster_texts([first] * 80 + [second] * 80)
    assert len(clustering.terms) == 2
    assert clustering.labels[0] != clustering.labels[-1]


def test_distinctive_terms_are_those_computed_by_hand():
    # Texts with each word, by cluster: black 40/0, pixels 20/0, note 20/10, slur 0/40, local 0/25. With 155 counts over
    # two clusters, a cluster holds 77.5 on average. Weights in the first: black 1·ln(1 + 77.5/40) = 1.08, pixels
    # .5·ln(1 + 77.5/20) = .79, note .5·ln(1 + 77.5/30) = .64. All are at least half of the largest, and note is exactly
    # twice as frequent as in the other cluster. In the second: slur 1.08, local .625·ln(1 + 77.5/25) = .88. Of several
    # terms the first in the alphabet are taken.
    first = ["black pixels"] * 20 + ["black note"] * 20
    second = ["slur local"] * 25 + ["slur note"] * 10 + ["slur"] * 5
    vectorizer = CountVectorizer().fit(first + second)
    vocabulary = vectorizer.get_feature_names_out()
    labels = np.repeat([0, 1], 40)
    counts = vectorizer.transform(first + second)
    assert _distinctive_terms(counts, labels, vocabulary) == (("black", "note"), ("local", "slur"))
    # With one more note in the second cluster, note is no longer twice as frequent in the first.
    counts = vectorizer.transform([*first, *second[:-1], "slur note"])
    assert _distinctive_terms(counts, labels, vocabulary) == (("black", "pixels"), ("local", "slur"))


def test_the_same_seed_gives_the_same_clusters():
    texts, _ = draw_texts(1, (90, 70))
    assert cluster_texts(texts, seed=5) == cluster_texts(texts, seed=5)


def test_names_of_clusters_are_the_same_in_every_period():
    names = {cluster_texts(draw_texts(seed, (90, 70))[0], seed=seed).terms for seed in range(2)}
    assert names == {(("black", "loaded"), ("dialect", "local"))}


def test_long_and_hostile_texts_are_clipped_and_kept():
    hostile = ["a " * 500_000, "\x00\x00", "<script>alert(1)</script>", "\ud800x", None]
    comments = pd.DataFrame({"comment": [*hostile, *[TOPICS[0]] * 50, *[TOPICS[1]] * 50]})
    texts = extract_texts(comments, "comment").tolist()
    assert (len(texts[0]), texts[3:5]) == (2_000, ["?x", ""])
    clustering = cluster_texts(texts)
    assert len(clustering.labels) == len(texts)
    assert len(clustering.terms) == 2
