"""Steps whose inputs are what earlier steps returned: judged by their outputs, without a fork."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkpoint.api._refine import refine, unrepeatable
from forkpoint.compare import diff, parse_tolerance, second_pass, worst
from forkpoint.model import Comparison, Verdict
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.support.recordings import Array, RecordingBuilder

X = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
BIAS = np.full(3, 0.5, dtype=np.float32)
TINY, FAR = 1e-6, 0.5
TOGETHER = (
    "Step 1 had other inputs: input (float32[2, 3]), which is what step 0 returned. The difference "
    "of its outputs is that of its inputs and of the step together, which a comparison does not "
    "tell apart: it has no fork of its own."
)


def chain(
    folder: Path,
    *,
    nudge: float = 0.0,
    head: float = 0.0,
    result: str = "sum",
    crossed: bool = False,
    x: Array = X,
    weights: Array = BIAS,
    plain: str = "",
    keep: bool = True,
    state: int = schema.COMPLETE,
    level: int = schema.OP,
    **manifest: Any,
) -> Path:
    """Two models: the second one takes what the first one returned (or, crossed, twice that)."""
    first = x * 2 + np.float32(nudge)
    with RecordingBuilder(folder, **manifest) as rec:
        with rec.step("Encoder", inputs={"x": x}, level=level) as step:
            step.op("aten.mul.Tensor", inputs=[x], outputs=[first], module="norm")
            step.module("norm", {"": first})
            step.root({"hidden": first}, keep=keep)
        given = first * 2 if crossed else first
        inputs = {"input": given, "bias": BIAS}
        with rec.step("Head", inputs=inputs, plain=plain, state=state, level=level) as step:
            rec.weights(1, {"bias": weights})
            out = np.sign(given) if result == "sign" else given + np.float32(1 + head)
            if level >= schema.OP:
                step.op("aten.add.Tensor", inputs=[given], outputs=[out], module="add")
            step.root({} if result == "nothing" else {"": out}, keep=keep)
    return folder


def compare(one: Path, two: Path) -> Comparison:
    with Recording.open(one) as a, Recording.open(two) as b:
        return diff(a, b, tolerance=parse_tolerance())


def chained(tmp_path: Path, both: dict[str, Any] | None = None, **candidate: Any) -> Comparison:
    one = chain(tmp_path / "a", **(both or {}))
    return compare(one, chain(tmp_path / "b", **(both or {}), **candidate))


@pytest.mark.parametrize(
    ("nudge", "head", "verdicts"),
    [
        (TINY, 0, (Verdict.WITHIN_TOLERANCE, Verdict.WITHIN_TOLERANCE)),
        (TINY, FAR, (Verdict.WITHIN_TOLERANCE, Verdict.DIVERGENT)),
        (FAR, 0, (Verdict.DIVERGENT, Verdict.DIVERGENT)),
        (FAR, -FAR, (Verdict.DIVERGENT, Verdict.IDENTICAL)),
    ],
)
def test_a_chained_step_is_judged_by_its_outputs(
    tmp_path: Path, nudge: float, head: float, verdicts: tuple[Verdict, ...]
) -> None:
    found = chained(tmp_path, nudge=nudge, head=head)
    assert tuple(step.verdict for step in found.steps) == verdicts
    assert found.verdict is worst(verdicts)
    assert found.reasons == ()
    first, second = found.steps
    assert first.fork is not None
    assert not first.chained
    assert second.fork is None
    assert second.chained
    assert [one.from_step for one in second.inputs] == [0, None]
    assert all(output.equal or output.metrics for output in second.outputs)


def test_the_reason_claims_nothing_of_the_second_model(tmp_path: Path) -> None:
    assert chained(tmp_path, nudge=TINY).steps[1].reason == TOGETHER


def test_outputs_that_are_identical_all_the_same_are_told_of(tmp_path: Path) -> None:
    found = chained(tmp_path, {"result": "sign"}, nudge=FAR)
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[1].verdict is Verdict.IDENTICAL
    assert found.steps[1].outputs[0].equal
    assert (found.steps[1].reason or "").endswith("Its outputs are identical all the same.")


def test_without_values_it_differs_by_an_unknown_amount(tmp_path: Path) -> None:
    found = chained(tmp_path, {"keep": False}, nudge=TINY)
    assert [step.verdict for step in found.steps] == [Verdict.DIVERGENT] * 2
    assert found.steps[1].outputs[0].metrics is None
    assert found.steps[1].reason == (
        f"{TOGETHER} The outputs were not measured, so they count as divergent: "
        "the output was not kept."
    )
    assert found.coverage.notes == (
        "In 2 of 2 steps the outputs differ and were not measured: they count as divergent.",
    )


@pytest.mark.parametrize(
    ("both", "candidate", "reason"),
    [
        ({"crossed": True}, {}, "Step 1 had other inputs: input (float32[2, 3])."),
        ({}, {"crossed": True}, "Step 1 had other inputs: input (float32[2, 3])."),
        ({}, {"weights": BIAS * 2}, "The weights of Head differ: bias (1 of 1)."),
        (
            {},
            {"plain": "scale=2"},
            "Step 1 had other inputs: input (float32[2, 3]), which is what step 0 returned.",
        ),
        (
            {"result": "nothing"},
            {},
            "Step 1 had other inputs: input (float32[2, 3]), which is what step 0 returned. "
            "Step 1 returned nothing that could be read.",
        ),
    ],
    ids=["made on the way", "other on one side", "weights", "a plain value", "no output"],
)
def test_what_is_not_traced_or_differs_otherwise_cannot_be_compared(
    tmp_path: Path, both: dict[str, Any], candidate: dict[str, Any], reason: str
) -> None:
    found = chained(tmp_path, both, nudge=TINY, **candidate)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.steps[0].verdict is Verdict.WITHIN_TOLERANCE
    assert found.steps[1].verdict is Verdict.NOT_COMPARABLE
    assert found.steps[1].reason == reason
    assert not found.steps[1].chained


def test_what_a_step_returned_that_cannot_be_compared_stays_so(tmp_path: Path) -> None:
    """Else two runs with other data would be called divergent."""
    found = chained(tmp_path, x=X + 1)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert [step.verdict for step in found.steps] == [Verdict.NOT_COMPARABLE] * 2
    assert found.steps[1].inputs[0].from_step == 0
    with Recording.open(tmp_path / "a") as a, Recording.open(tmp_path / "b") as b:
        assert second_pass(a, b, max_storage=1 << 20) is None


def test_a_chained_step_that_raised_is_incomplete(tmp_path: Path) -> None:
    found = chained(tmp_path, nudge=TINY, state=schema.RAISED)
    assert found.steps[1].verdict is Verdict.INCOMPLETE
    assert found.steps[1].reason == "Step 1 raised an exception in the candidate."


@pytest.mark.parametrize(("room", "unkept"), [(1 << 20, ()), (30, (1,))])
def test_the_second_pass_keeps_its_outputs_and_looks_at_no_op(
    tmp_path: Path, room: int, unkept: tuple[int, ...]
) -> None:
    one, two = chain(tmp_path / "a"), chain(tmp_path / "b", nudge=TINY)
    with Recording.open(one) as a, Recording.open(two) as b:
        plan = second_pass(a, b, max_storage=room)
    assert plan is not None
    assert plan.representatives == (0,)
    assert plan.unkept == unkept
    assert not plan.needs_bare_run
    if not unkept:
        assert (plan.steps[1].level, plan.steps[1].store) == ("bare", ("root",))
        assert plan.reserve == 48  # two outputs of six floats


def test_outputs_that_stayed_identical_need_no_room(tmp_path: Path) -> None:
    one = chain(tmp_path / "a", result="sign")
    two = chain(tmp_path / "b", result="sign", nudge=TINY)
    with Recording.open(one) as a, Recording.open(two) as b:
        plan = second_pass(a, b, max_storage=1 << 20)
    assert plan is not None
    assert set(plan.steps) == {0}


def test_both_passes_together_give_it_no_fork(tmp_path: Path) -> None:
    first = chained(tmp_path / "first", {"keep": False}, nudge=TINY)
    detail = chained(tmp_path / "detail", {"level": schema.BARE}, nudge=TINY)
    found = refine(first, detail)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert [step.fork is None for step in found.steps] == [False, True]
    assert [step.chained for step in found.steps] == [False, True]


def test_one_that_does_not_repeat_itself_is_judged_by_that(tmp_path: Path) -> None:
    first = chained(tmp_path, nudge=TINY)
    found = unrepeatable(first, {"a": [1]}).steps[1]
    assert (found.verdict, found.chained) == (Verdict.NOT_REPEATABLE, False)


LINK = st.tuples(st.integers(-1, 6), st.sampled_from((0.0, TINY, FAR)), st.booleans())
"""Of a step: the one whose output it takes (-1: none), its own fault, whether that is traced."""


@settings(max_examples=40, deadline=None)
@given(st.lists(LINK, min_size=1, max_size=7))
def test_of_any_chain_no_step_with_other_inputs_names_a_fork(
    links: list[tuple[int, float, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for side, name in enumerate("ab"):
            with RecordingBuilder(Path(folder) / name) as rec:
                outputs: list[Array] = []
                for number, (source, fault, plainly) in enumerate(links):
                    x = outputs[source] if 0 <= source < number else X * (number + 1)
                    given_ = x if plainly else x * 3
                    out = given_ * (number + 5) + np.float32(fault * side)
                    with rec.step(f"M{number}", inputs={"x": given_}) as step:
                        step.op("aten.mul.Tensor", inputs=[given_], outputs=[out])
                        step.root({"": out}, keep=True)
                    outputs.append(out)
        found = compare(Path(folder) / "a", Path(folder) / "b")
    assert found.verdict is worst(step.verdict for step in found.steps)
    for step in found.steps:
        unlike = [one for one in step.inputs if not one.equal]
        traced = bool(unlike) and all(one.from_step is not None for one in unlike)
        assert not (unlike and step.fork)
        assert step.chained <= traced
        if unlike:
            assert step.chained is (step.verdict is not Verdict.NOT_COMPARABLE)
        else:
            assert (step.fork is None) is (step.verdict is Verdict.IDENTICAL)
        if step.chained:
            sources = {one.from_step for one in unlike}
            judged = {s.index for s in found.steps if s.verdict is not Verdict.NOT_COMPARABLE}
            assert sources <= judged
