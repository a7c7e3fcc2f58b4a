"""Settings that no single call can show, on a real script with a fault in attention itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from forkpoint.api._diagnose import Bench
from forkpoint.api._options import Observer, Options
from forkpoint.api._results import DETAIL, SEARCH, Results
from forkpoint.api._runner import Runner
from forkpoint.diagnose import Case
from forkpoint.diagnose.experiments.whole_script import suited, whole_script
from forkpoint.environments import EnvironmentCache, parse_spec
from forkpoint.model import Outcome
from forkpoint.report import from_json
from tests.diagnose.faulty import Faulty

pytestmark = pytest.mark.integration


@pytest.fixture
def case(faulty: Faulty, faulty_root: Path) -> Case:
    """The comparison of attention with attention that has a fault, ready to go on with."""
    faulty("fused", script="attentive.py")
    results = Results.open(faulty_root / "fused")
    request = results.request()
    with EnvironmentCache() as cache:
        runner = Runner(Options(), Observer(), cache)
        one, two = (
            Bench(runner, e, request.workload, request.tolerance, results.logs(e.name, SEARCH))
            for e in runner.build([parse_spec(f"{n}={text}") for n, text in request.environments])
        )
    return Case(
        comparison=from_json(results.comparison.read_bytes()),
        tolerance=request.tolerance,
        benches=(one, two),
        first=(results.recording(one.name), results.recording(two.name)),
        recordings=(results.recording(one.name, DETAIL), results.recording(two.name, DETAIL)),
        folder=results.capsules,
        scratch=results.search,
        room=10**9,
    )


def test_another_way_to_compute_attention_makes_the_script_agree(case: Case) -> None:
    try:
        found = whole_script(case)
    finally:
        shutil.rmtree(case.scratch, ignore_errors=True)
    assert found is not None
    assert found.outcome is Outcome.SUPPORTED
    assert "the control changed nothing" in found.text
    for name in ("sdpa=math", "sdpa=eager"):
        assert f"{name}: no step differs (baseline and candidate gave other bits" in found.text


def test_what_no_origin_gives_a_reason_for_is_not_tried(case: Case) -> None:
    (origin,) = case.comparison.origins
    other = replace(origin, op="aten.native_layer_norm.default")
    unlike = replace(case, comparison=replace(case.comparison, origins=(other,)))
    assert suited(unlike) == ()
    assert whole_script(unlike) is None
    product = replace(case.comparison, origins=(replace(origin, op="aten.mm.default"),))
    assert suited(replace(case, comparison=product)) == ()  # no workspace without a GPU
