"""Swapped results: real runs of a small indexer, and how such runs are judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkpoint
from forkpoint.api import run_comparison
from forkpoint.diagnose import judge_swap, procedure, untried_swap
from forkpoint.diagnose.experiments import Findings
from forkpoint.host import Workload
from forkpoint.model import (
    Artifact,
    Comparison,
    Experiment,
    Outcome,
    RankingMetrics,
    Uncovered,
    Verdict,
    WatchedCall,
)
from forkpoint.report import from_json
from tests.conftest import TorchEnv
from tests.report.examples import demo

INDEXER = """
import torch

def embed(x):
    size = x.shape[-1:]
    return torch.nn.functional.layer_norm(x * 3, size, torch.full(size, 1.1), torch.full(size, 0.1))

def train(values, k=16, rounds=30):
    centroids = values[:k].clone()
    for _ in range(rounds):
        codes = assign(values, centroids)
        for one in range(k):
            if (codes == one).any():
                centroids[one] = values[codes == one].mean(dim=0)
    return centroids

def assign(values, centroids):
    return torch.cdist(values, centroids).argmin(dim=1)

def search(query, values, codes):
    return (values @ query + codes).topk(5).indices.tolist()

def release():
    return torch.__version__
"""
SCRIPT = """
import os
import numpy
import torch
import indexer

torch.manual_seed(0)
net = torch.nn.Linear(384, 384)
with torch.no_grad():
    values = indexer.embed(net(torch.rand(600, 384)))
    centroids = indexer.train(values)
    codes = indexer.assign(values, centroids)
    net(centroids)
    indexer.search(values[0], values, codes)
indexer.release()
os.makedirs("out")
numpy.save("out/centroids.npy", centroids.numpy())
arrays = {"centroids": centroids, "codes": codes, "values": values}
numpy.savez("out/all.npz", **{name: one.numpy() for name, one in arrays.items()})
"""


@pytest.mark.integration
def test_swaps_in_a_small_indexer(
    tmp_path: Path, torch_env: TorchEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first swap explains all that follows, the last one nothing; files are compared, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "indexer.py").write_text(INDEXER)
    (tmp_path / "run.py").write_text(SCRIPT)
    names = ("embed", "assign+train", "release")
    options = forkpoint.Options(
        out=tmp_path / "results",
        watch=("indexer:search",),
        swap=tuple("+".join(f"indexer:{n}" for n in name.split("+")) for name in names),
        artifacts=Path("out"),
        diagnose=False,
        tolerance="bitwise",
    )
    environments = [
        replace(torch_env(version), name=name)
        for name, version in (("old", "2.9.1"), ("new", "2.10.0"))
    ]
    finished = run_comparison(Workload(script=tmp_path / "run.py"), environments, options=options)
    found = finished.comparison
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "results" / "search").exists()
    assert [one.name for one in found.experiments] == ["stages", *["swap"] * len(names)]
    swaps = dict(zip(names, found.experiments[1:], strict=True))
    assert swaps["embed"].outcome is Outcome.SUPPORTED, swaps["embed"].evidence
    assert swaps["embed"].evidence.startswith("1 of 1 call swapped; ")
    assert "files or parts of them became identical" in swaps["embed"].evidence
    assert swaps["embed"].did == (
        "ran the script in new with old's results of indexer:embed in place of its own, "
        "call by call"
    )
    assert swaps["release"].outcome is Outcome.REFUTED, swaps["release"].evidence
    assert swaps["assign+train"].hypothesis.startswith("what indexer:assign and indexer:train")
    assert swaps["assign+train"].outcome is Outcome.INCONCLUSIVE
    assert "2 of 3 files or parts of them became identical (not out/all.npz: values)" in (
        swaps["assign+train"].evidence
    )
    assert [one.part for one in found.artifacts] == ["", "centroids", "values", ""]
    kept = from_json((tmp_path / "results" / "comparison.json").read_bytes())
    assert kept.experiments == found.experiments


def _call(
    name: str, *, same: bool | None, given: bool | None = False, call: int = 0
) -> WatchedCall:
    return WatchedCall(
        function=f"m:{name}",
        call=call,
        step=0,
        inside=False,
        side="both",
        arguments_equal=given,
        results_equal=same,
        values=(),
    )


def _comparison(*calls: WatchedCall, artifacts: tuple[Artifact, ...] = ()) -> Comparison:
    return replace(demo(), watched=calls, artifacts=artifacts, steps=())


def _judged(before: Comparison, after: Comparison) -> Experiment:
    return judge_swap(("m:f",), before, after)


def _file(path: str, verdict: Verdict, part: str = "", share: float | None = None) -> Artifact:
    return Artifact(
        path=path, kind="array", verdict=verdict, summary="", part=part, changed_fraction=share
    )


def _ranking(same: int) -> Artifact:
    metrics = RankingMetrics(
        queries=10, unpaired_queries=0, same_order=same, rbo=1.0, rbo_p=0.9, cuts=(), flips=0,
        ties=0, near_ties=0, moved=0, noise=None,
    )  # fmt: skip
    return replace(_file("run.trec", Verdict.DIVERGENT), ranking=metrics)


INDEX = (
    _file("index", Verdict.DIVERGENT),
    _file("index", Verdict.DIVERGENT, "codes", 0.5),
    _file("index", Verdict.IDENTICAL, "ids", 0.0),
)
BEFORE = (_call("early", same=False), _call("f", same=False), _call("g", same=False))


def _judged_files(before: tuple[Artifact, ...], after: tuple[Artifact, ...]) -> Experiment:
    one, two = (_comparison(BEFORE[1], artifacts=found) for found in (before, after))
    return _judged(one, two)


def test_all_that_follows_became_identical() -> None:
    after = (*BEFORE[:2], _call("g", same=True))
    found = _judged(_comparison(*BEFORE), _comparison(*after))
    assert found.outcome is Outcome.SUPPORTED
    assert found.evidence == "1 of 1 call swapped; 1 of 1 watched calls became identical"


def test_nothing_that_follows_became_identical() -> None:
    found = _judged(_comparison(*BEFORE), _comparison(*BEFORE))
    assert found.outcome is Outcome.REFUTED
    assert "0 of 1 watched calls became identical (not g)" in found.evidence


def test_what_comes_earlier_does_not_count() -> None:
    before = (_call("g", same=False), _call("f", same=False))
    found = _judged(_comparison(*before), _comparison(*before))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "nothing that was seen to differ comes after them" in found.evidence


def test_what_differs_by_itself_is_told_apart() -> None:
    before = (*BEFORE, _call("model", same=False, given=True))
    after = (*BEFORE[:2], _call("g", same=True), before[-1])
    found = _judged(_comparison(*before), _comparison(*after))
    assert found.outcome is Outcome.SUPPORTED
    assert "1 call of watched functions had equal arguments before and still differ" in (
        found.evidence
    )


def test_what_was_identical_and_no_longer_is_forbids_a_verdict() -> None:
    before = (*BEFORE, _call("h", same=True))
    after = (*BEFORE[:2], _call("g", same=True), _call("h", same=False))
    found = _judged(_comparison(*before), _comparison(*after))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "h had been identical, and differ now" in found.evidence


def test_files_parts_and_rankings_count() -> None:
    before = (
        _file("index", Verdict.DIVERGENT),
        _file("index", Verdict.DIVERGENT, "codes", 0.5),
        _file("index", Verdict.DIVERGENT, "residuals", 0.25),
        _ranking(4),
    )
    after = (
        before[0],
        _file("index", Verdict.IDENTICAL, "codes", 0.0),
        _file("index", Verdict.DIVERGENT, "residuals", 0.001),
        _ranking(9),
    )
    found = _judged_files(before, after)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.evidence == (
        "1 of 1 call swapped; 1 of 2 files or parts of them became identical (not index: "
        "residuals); 5 of 6 queries' orders became identical (not 1 of them); changed values: "
        "index: residuals: 25% before, 0.1% now"
    )


def test_parts_of_a_file_that_is_identical_now_are_identical() -> None:
    after = (_file("index", Verdict.IDENTICAL),)
    found = _judged_files(INDEX, after)
    assert found.outcome is Outcome.SUPPORTED
    assert "1 of 1 files or parts of them became identical" in found.evidence


def test_nothing_is_claimed_of_parts_that_were_not_compared() -> None:
    for verdict, part in ((Verdict.DIVERGENT, "layout"), (Verdict.NOT_COMPARABLE, "")):
        after = (_file("index", verdict), _file("index", verdict, part))
        found = _judged_files(INDEX[:2], after)
        assert found.outcome is Outcome.REFUTED
        assert "0 of 1 files or parts of them became identical (not index: codes)" in found.evidence


def test_a_part_that_was_identical_and_no_longer_is_forbids_a_verdict() -> None:
    after = (
        _file("index", Verdict.DIVERGENT),
        _file("index", Verdict.IDENTICAL, "codes", 0.0),
        _file("index", Verdict.DIVERGENT, "ids", 0.1),
    )
    found = _judged_files(INDEX, after)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "index: ids had been identical, and differ now" in found.evidence


def test_calls_that_were_not_swapped_are_said() -> None:
    unseen = Uncovered(side="candidate", kind="not swapped", detail="m:f: no room", count=1)
    before = _comparison(*BEFORE)
    after = replace(before, coverage=replace(before.coverage, uncovered=(unseen,)))
    found = _judged(before, after)
    assert (found.outcome, found.whole) == (Outcome.INCONCLUSIVE, False)
    assert found.evidence == "0 of 1 call swapped; 1 call not: no room"


def test_without_a_difference_nothing_is_run() -> None:
    same = untried_swap(("m:f",), _comparison(_call("f", same=True)))
    assert same is not None and same.outcome is Outcome.REFUTED
    never = untried_swap(("m:f",), _comparison(_call("g", same=False)))
    assert never is not None and never.outcome is Outcome.INCONCLUSIVE
    assert untried_swap(("m:f",), _comparison(*BEFORE)) is None
    unsteady = replace(_comparison(*BEFORE), verdict=Verdict.NOT_REPEATABLE)
    doubted = untried_swap(("m:f",), unsteady)
    assert doubted is not None and "not_repeatable" in doubted.evidence


_STATES = st.sampled_from([True, False, None])


@settings(deadline=None)
@given(st.lists(st.tuples(_STATES, _STATES, _STATES), max_size=6))
def test_supported_means_that_nothing_downstream_differs(
    states: list[tuple[bool | None, bool | None, bool | None]],
) -> None:
    """For any watched calls: (arguments equal before, results equal before, and after)."""
    start = (_call("f", same=False),)
    before = tuple(_call(f"g{n}", same=b, given=g) for n, (g, b, _) in enumerate(states))
    after = tuple(_call(f"g{n}", same=a, given=g) for n, (g, _, a) in enumerate(states))
    found = _judged(_comparison(*start, *before), _comparison(*start, *after))
    left = [(g, b, a) for g, b, a in states if b is False and not a and g is not True]
    became = [(b, a) for _, b, a in states if b is False and a]
    broken = [(b, a) for _, b, a in states if b is not False and a is False]
    if found.outcome is Outcome.SUPPORTED:
        assert became and not left and not broken
    if found.outcome is Outcome.REFUTED:
        assert left and not became


@pytest.mark.parametrize("name", ["m", "m:f+", "+m:f", "m:f+n"])
def test_a_swap_that_names_no_function_is_refused(name: str) -> None:
    with pytest.raises(forkpoint.UsageError, match="does not name a function"):
        forkpoint.Options(swap=(name,))


def test_what_is_swapped_is_watched() -> None:
    options = forkpoint.Options(watch=("m:a", "m:b"), swap=("m:b+m:c", "m:a"))
    assert options.watched == ("m:a", "m:b", "m:c")


def test_a_later_search_for_the_cause_keeps_swaps() -> None:
    """`explain` searches again, and adds experiments before them."""
    swapped = untried_swap(("m:f",), _comparison(_call("f", same=True)))
    assert swapped is not None
    searched, later = (
        Experiment(name=name, hypothesis="", outcome=Outcome.SUPPORTED, evidence="")
        for name in ("sufficiency", "oracle")
    )
    before = replace(demo(), experiments=(swapped, swapped))
    found = procedure._explained(before, (), (searched,), None)
    found = procedure._with(found, Findings(experiment=later))
    assert found.experiments == (searched, later, swapped, swapped)
