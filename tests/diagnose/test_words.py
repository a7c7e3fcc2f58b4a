"""The verdict in plain words: what is said for each way in which a diagnosis can end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forkpoint.diagnose import explain
from forkpoint.model import Comparison, Experiment, Oracle, Origin, Outcome, ShapeRow, Step, Verdict
from tests.report.examples import demo


def _origin(op: str = "aten.native_layer_norm.default", **more: object) -> Origin:
    base = Origin(
        op=op,
        signature="",
        modules=("norm",),
        shapes=((32, 8),),
        steps=(0,),
        dtypes=("float32",),
        calls=1,
        confirmed="replay",
    )
    return replace(base, **more)  # type: ignore[arg-type]


def _sufficiency(outcome: Outcome, evidence: str) -> Experiment:
    return Experiment(name="sufficiency", hypothesis="", outcome=outcome, evidence=evidence)


SUPPORTED = _sufficiency(Outcome.SUPPORTED, "2 of 2 steps became identical to old")


def _said(origins: tuple[Origin, ...], propagated: int, *experiments: Experiment) -> str:
    step = Step(index=0, module="M", inputs=(), verdict=Verdict.DIVERGENT, fork=None, outputs=())
    rows = tuple(
        ShapeRow(
            module="M", shapes=((4, n),), dtypes=("int64",), steps=(n,), fork=None,
            verdicts={Verdict.DIVERGENT: 1}, max_abs=None, max_ulp=None,
        )
        for n in (5, 6)
    )  # fmt: skip
    whole: Comparison = replace(
        demo(),
        steps=(step, replace(step, index=1)),
        shapes=rows,
        origins=origins,
        propagated=propagated,
        experiments=experiments,
    )
    return " ".join(explain(whole))


def test_one_origin_that_is_the_whole_cause() -> None:
    oracle = Oracle(
        baseline_max_ulp=900.0, candidate_max_ulp=800.0, nearer="baseline",
        baseline_row_ulp=0.8, candidate_row_ulp=1.25,
    )  # fmt: skip
    assert _said((_origin(oracle=oracle),), 131, SUPPORTED) == (
        "Only `native_layer_norm` (fp32) differs by itself; the other 131 differing op calls "
        "pass it on. All 2 input shapes that ran are affected. In the call that was replayed, "
        "the baseline is up to 0.8 ULP and the candidate up to 1.2 ULP from the float64 value, "
        "by the largest value of each row. "
        "Substituting it makes all 2 differing steps identical."
    )


def test_two_origins_one_of_them_in_place_only() -> None:
    origins = (_origin(), _origin("aten.mm.default", confirmed="in_place"))
    assert _said(origins, 1, SUPPORTED) == (
        "Only `native_layer_norm` (fp32) and `mm` (fp32) differ by themselves; the one other op "
        "call that differs passes it on. `mm` (fp32) was shown inside the script only, not by "
        "replay alone. All 2 input shapes that ran are affected. "
        "Substituting them makes all 2 differing steps identical."
    )


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.REFUTED])
def test_what_was_not_shown_to_be_enough_is_not_said_to_be(outcome: Outcome) -> None:
    said = _said((_origin(),), 0, _sufficiency(outcome, "1 of 2 steps became identical to old"))
    assert not said.startswith("Only")
    assert said.endswith("is not known: 1 of 2 steps became identical to old.")


def test_steps_that_were_not_tried_are_counted() -> None:
    evidence = "2 of 2 steps became identical to old; 7 more steps were not tried: no room"
    tried = replace(_sufficiency(Outcome.SUPPORTED, evidence), whole=False)
    said = _said((_origin(),), 0, tried)
    assert said.endswith(f"Substituting it: {evidence}.")
    assert not said.startswith("Only")


def test_a_rule_and_a_remedy_are_said() -> None:
    origin = replace(_origin(), rule="from size 136 on of dimension 2 of input", remedies=("a=b",))
    said = _said((origin,), 0, SUPPORTED)
    assert "Replayed alone with random inputs, `native_layer_norm` (fp32) differs from size" in said
    assert said.endswith("In the replayed call, the sides agree with `a=b`.")


def test_no_origin_is_said_with_the_reason() -> None:
    tried = Experiment(
        name="origins", hypothesis="", outcome=Outcome.INCONCLUSIVE, evidence="nobody knows"
    )
    assert _said((), 0, tried) == "The cause is not known: nobody knows."


def test_nothing_is_said_where_nothing_was_diagnosed() -> None:
    assert _said((), 0) == ""
