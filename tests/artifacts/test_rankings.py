from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.artifacts import Context, Ranked, compare_rankings, compare_trees, read_relevance
from forkpoint.artifacts.rankings import rbo
from forkpoint.compare import PRESETS
from forkpoint.errors import UsageError
from forkpoint.model import RankingMetrics, Verdict

CONTEXT = Context(tolerance=PRESETS["torch"])
orders = st.lists(st.integers(0, 30).map(str), unique=True, max_size=20).map(tuple)


def ranked(documents: str, *scores: float) -> Ranked:
    return Ranked(tuple(documents), tuple(scores) or (None,) * len(documents))


def ranking(one: Ranked, two: Ranked) -> RankingMetrics:
    found = compare_rankings({"q": one}, {"q": two}, CONTEXT).ranking
    assert found is not None
    return found


@given(orders, orders)
def test_rank_biased_overlap_is_a_symmetric_share(
    one: tuple[str, ...], two: tuple[str, ...]
) -> None:
    assert rbo(one, two) == pytest.approx(rbo(two, one))
    assert -1e-9 <= rbo(one, two) <= 1 + 1e-9
    assert rbo(one, one) == pytest.approx(1.0)


def test_rank_biased_overlap_by_hand() -> None:
    # agreement 0, 1 and 2/3 at depths 1 to 3
    expected = 2 / 3 * 0.9**3 + 0.1 / 0.9 * (0 * 0.9 + 1 * 0.9**2 + 2 / 3 * 0.9**3)
    assert rbo(("a", "b", "c"), ("b", "a", "d")) == pytest.approx(expected)


@given(orders)
def test_a_ranking_equals_itself(one: tuple[str, ...]) -> None:
    both = {"q": Ranked(one, (None,) * len(one))}
    assert compare_rankings(both, both, CONTEXT).verdict is Verdict.IDENTICAL


def test_flips_are_told_apart_by_their_margin() -> None:
    one = ranked("abcdefgh", 9, 8, 7, 7, 5, 4.999, 3, 2)
    two = ranked("bacdfegh", 7.999, 8.001, 7, 7, 4.9995, 5, 3, 2)
    kinds = {flip.rank: flip.kind for flip in ranking(one, two).examples}
    assert kinds == {1: "moved", 5: "moved"}  # half of the scores did not change at all
    tied = ranking(ranked("ab", 1, 1), ranked("ba", 1, 1))
    assert (tied.flips, tied.ties) == (1, 1)
    near = ranking(ranked("abc", 1, 0.9999, 0.5), ranked("bac", 1.0001, 0.9999, 0.5001))
    assert (near.flips, near.near_ties) == (1, 1)


def test_cuts_count_ids_and_orders() -> None:
    found = ranking(ranked("abcdefghijkl"), ranked("bacdefghizkl"))
    by_k = {cut.k: cut for cut in found.cuts}
    assert (by_k[1].ids_swapped, by_k[10].ids_swapped) == (1, 1)
    assert by_k[10].overlap == 0.9
    assert (found.same_order, found.queries) == (0, 1)


TREC = "q1 Q0 d1 1 2.0 t\nq1 Q0 d2 2 1.0 t\nq2 Q0 d1 1 3.5 t\n"


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("x.run", TREC, TREC.replace("2.0", "0.5")),
        ("ranking.tsv", "1\t7\t1\t9.5\n1\t8\t2\t9.25\n", "1\t8\t1\t9.5\n1\t7\t2\t9.25\n"),
        ("x.json", '{"1": [["a", 2], ["b", 1]]}', '{"1": [["b", 2], ["a", 1]]}'),
    ],
)
def test_formats_are_recognised(tmp_path: Path, name: str, one: str, two: str) -> None:
    paths = [tmp_path / side / name for side in "ab"]
    for path, text in zip(paths, (one, two), strict=True):
        path.parent.mkdir()
        path.write_text(text)
    (found,) = compare_trees(paths[0], paths[1], CONTEXT)
    assert found.kind == "ranking"
    assert found.ranking is not None
    assert found.ranking.flips == 1


def test_quality_needs_judgements_and_counts_by_query() -> None:
    relevance = {"q": {"a": 1}, "r": {"x": 1}, "s": {"c": 1}}
    one = {"q": ranked("ab"), "r": ranked("xy"), "s": ranked("abc")}
    two = {"q": ranked("ba"), "r": ranked("xy"), "s": ranked("cab")}
    context = Context(tolerance=PRESETS["torch"], relevance=relevance)
    found = compare_rankings(one, two, context).ranking
    assert found is not None
    quality = {one.measure: one for one in found.quality}
    mrr = quality["RR@10"]
    assert mrr.baseline == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert mrr.candidate == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert (mrr.better, mrr.worse) == (1, 1)
    assert mrr.p_value is not None
    assert quality["R@10"].p_value == 1.0


def test_judgements_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("q1 0 d1\n")
    with pytest.raises(UsageError, match="no relevance judgements"):
        read_relevance(tmp_path / "q")
