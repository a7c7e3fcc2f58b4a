from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkpoint.compare import (
    Context,
    check_neutral,
    diff,
    parse_tolerance,
    tables,
    unrepeatable_steps,
)
from forkpoint.errors import RecordingError
from forkpoint.model import Comparison, Neutral, ReasonKind, Verdict
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.support.recordings import RecordingBuilder

X = np.arange(6, dtype=np.float32).reshape(2, 3)
W = np.full((3, 3), 0.5, dtype=np.float32)
NUDGE = np.float32(1e-3)


def net(
    folder: Path,
    *,
    steps: int = 1,
    level: int = schema.OP,
    nudge: float = 0.0,
    at: str = "norm",
    x: np.ndarray = X,
    w: np.ndarray = W,
    keep: bool = True,
    extra: str = "",
    **manifest: Any,
) -> Path:
    """A net of two modules, `linear` and `norm`; the op of module ``at`` adds ``nudge``."""
    with RecordingBuilder(folder, **manifest) as rec:
        for number in range(steps):
            with rec.step("Net", inputs={"x": x}, level=level) as step:
                if number == 0:
                    rec.weights(0, {"linear.weight": w, "norm.bias": w[0]})
                hidden = x @ W + np.float32(nudge if at == "linear" else 0)
                out = hidden * 2 + np.float32(nudge if at == "norm" else 0)
                if extra == "first":
                    step.op("aten.clone.default", inputs=[x], outputs=[x * 1])
                if level >= schema.OP:
                    step.op("aten.mm.default", inputs=[x, W], outputs=[hidden], module="linear")
                if level >= schema.MODULE:
                    step.module("linear", {"": hidden}, keep=keep)
                if level >= schema.OP:
                    step.op("aten.mul.Tensor", inputs=[hidden], outputs=[out], module="norm")
                if level >= schema.MODULE:
                    step.module("norm", {"": out}, keep=keep)
                if extra == "last":
                    step.op("aten.clone.default", inputs=[out], outputs=[out])
                step.root({"logits": out}, keep=keep)
    return folder


def compare(one: Path, two: Path, tolerance: str = "torch", **context: Any) -> Comparison:
    with Recording.open(one) as a, Recording.open(two) as b:
        return diff(a, b, tolerance=parse_tolerance(tolerance), context=Context(**context))


def test_equal_runs_are_identical(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a", steps=3), net(tmp_path / "b", steps=3))
    assert found.verdict is Verdict.IDENTICAL
    assert [step.verdict for step in found.steps] == [Verdict.IDENTICAL] * 3
    assert found.steps[0].outputs[0].equal
    assert found.steps[0].inputs[0].equal
    assert found.weights_equal is True
    assert (found.reasons, found.sequences) == ((), ())
    assert {cell.state for row in found.heat.cells for cell in row} == {"identical"}
    assert found.coverage.op_level_steps == (0, 1, 2)


@pytest.mark.parametrize(
    ("at", "op", "after"),
    [("linear", "aten.mm.default", None), ("norm", "aten.mul.Tensor", "linear")],
)
def test_the_fork_is_the_first_op_with_equal_inputs(
    tmp_path: Path, at: str, op: str, after: str | None
) -> None:
    found = compare(net(tmp_path / "a"), net(tmp_path / "b", nudge=0.5, at=at))
    fork = found.steps[0].fork
    assert found.verdict is Verdict.DIVERGENT
    assert fork is not None
    assert (fork.kind, fork.op, fork.module, fork.after) == ("op", op, at, after)
    assert fork.inputs_equal is True
    assert (fork.shapes, fork.dtypes) == (((2, 3),), ("float32",))
    assert found.shapes[0].fork == f"{op} in {at}"


def test_a_step_recorded_by_module_forks_at_a_module(tmp_path: Path) -> None:
    found = compare(
        net(tmp_path / "a", level=schema.MODULE),
        net(tmp_path / "b", level=schema.MODULE, nudge=0.5),
    )
    fork = found.steps[0].fork
    assert fork is not None
    assert (fork.kind, fork.op, fork.module, fork.after) == ("module", None, "norm", "linear")
    assert fork.inputs_equal is None
    assert fork.metrics is not None
    assert fork.metrics.max_abs == 0.5


@pytest.mark.parametrize("level", [schema.BARE, schema.MODULE])
def test_sides_recorded_at_different_levels_compare_what_both_have(
    tmp_path: Path, level: int
) -> None:
    found = compare(net(tmp_path / "a"), net(tmp_path / "b", level=level, nudge=0.5))
    fork = found.steps[0].fork
    assert found.verdict is Verdict.DIVERGENT
    assert (fork and fork.kind) == (None if level == schema.BARE else "module")
    assert found.sequences == ()
    equal = compare(net(tmp_path / "c"), net(tmp_path / "d", level=level))
    assert equal.verdict is Verdict.IDENTICAL


def test_a_measured_difference_can_be_within_tolerance(tmp_path: Path) -> None:
    a, b = net(tmp_path / "a"), net(tmp_path / "b", nudge=2e-6)
    found = compare(a, b)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert found.steps[0].fork is not None
    metrics = found.steps[0].outputs[0].metrics
    assert metrics is not None
    assert metrics.close_count == metrics.count == 6
    assert found.coverage.measured_steps == (0,)
    assert compare(a, b, "bitwise").verdict is Verdict.DIVERGENT


def test_an_unmeasured_difference_is_divergent_and_says_so(tmp_path: Path) -> None:
    found = compare(
        net(tmp_path / "a", keep=False), net(tmp_path / "b", nudge=1e-7, at="linear", keep=False)
    )
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].reason is not None
    assert "not measured" in found.steps[0].reason
    assert "logits was not kept" in found.steps[0].reason
    assert any("were not measured" in note for note in found.coverage.notes)


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        "count": 6,
        "bit_equal": False,
        "equal_fraction": 0.5,
        "max_abs": 1e-9,
        "mean_abs": 1e-10,
        "max_rel": 1e-6,
        "max_ulp": 3,
        "p99_ulp": 3,
        "close_count": 6,
        "nonfinite_mismatches": 0,
        "worst": {"index": [0, 1], "baseline": "1.0", "candidate": "1.1"},
        **changes,
    }


def measured(folder: Path, other_shift: int = 0, **changes: Any) -> Path:
    """A candidate that kept nothing, with metrics of its root output by its worker."""
    tolerance = changes.pop("tolerance", None)
    with RecordingBuilder(folder, tolerance=tolerance) as rec:
        with rec.step("Net", inputs={"x": X}, level=schema.BARE) as step:
            rec.weights(0, {"linear.weight": W, "norm.bias": W[0]})
            event = step.root({"logits": X + 9})
        rec.metric(event, 0, event + 4 + other_shift, metrics(**changes))
    return folder


def test_the_workers_metrics_are_used(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a"), measured(tmp_path / "b"))
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert found.steps[0].outputs[0].metrics is not None


def test_metrics_against_another_event_are_not_used(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a"), measured(tmp_path / "b", other_shift=-1))
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].outputs[0].metrics is None


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"max_abs": 1e-2}, Verdict.DIVERGENT),
        ({"nonfinite_mismatches": 1}, Verdict.DIVERGENT),
        # within atol + rtol * |b| at the worst element only: the extremes do not tell
        ({"max_abs": 1.1e-5}, Verdict.DIVERGENT),
        (
            {"max_abs": 1.1e-5, "tolerance": {"limits": parse_tolerance().limits}},
            Verdict.WITHIN_TOLERANCE,
        ),
        (
            {"close_count": 5, "tolerance": {"limits": parse_tolerance().limits}},
            Verdict.DIVERGENT,
        ),
    ],
)
def test_a_count_under_another_tolerance_is_not_trusted(
    tmp_path: Path, changes: dict[str, Any], verdict: Verdict
) -> None:
    assert compare(net(tmp_path / "a"), measured(tmp_path / "b", **changes)).verdict is verdict


def test_other_inputs_are_said_first(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a"), net(tmp_path / "b", x=X + 1))
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.reasons == ("Step 0 had other inputs: x (float32[2, 3]).",)
    assert not found.steps[0].inputs[0].equal
    assert found.steps[0].fork is None


def test_other_weights_are_said_first(tmp_path: Path) -> None:
    other = W.copy()
    other[2] += 1
    found = compare(net(tmp_path / "a", steps=2), net(tmp_path / "b", steps=2, w=other))
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.reasons[0] == "The weights of Net differ: linear.weight (1 of 2)."
    assert found.weights_equal is False
    assert [step.verdict for step in found.steps] == [Verdict.NOT_COMPARABLE] * 2


def test_more_steps_on_one_side_are_reported(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a", steps=1), net(tmp_path / "b", steps=3))
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.reasons == ("The candidate has 2 more steps, from step 1 on.",)
    assert found.steps[0].verdict is Verdict.IDENTICAL


def test_a_crashed_run_is_incomplete_and_its_steps_are_compared(tmp_path: Path) -> None:
    found = compare(
        net(tmp_path / "a", steps=3),
        net(tmp_path / "b", steps=2, complete=False, status="running"),
    )
    assert found.verdict is Verdict.INCOMPLETE
    assert [step.verdict for step in found.steps] == [Verdict.IDENTICAL] * 2
    assert "not recorded to its end" in found.reasons[0]


def test_a_step_that_raised_is_incomplete(tmp_path: Path) -> None:
    for name in "ab":
        with RecordingBuilder(tmp_path / name) as rec:
            with rec.step(inputs={"x": X}) as step:
                step.root({"": X})
            with rec.step(inputs={"x": X}, state=schema.RAISED):
                pass
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [s.verdict for s in found.steps] == [Verdict.IDENTICAL, Verdict.INCOMPLETE]
    assert found.steps[1].reason == "Step 1 raised an exception in the baseline."


def test_an_op_sequence_that_differs_is_noted_where_outputs_are_equal(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a"), net(tmp_path / "b", extra="first"))
    assert found.verdict is Verdict.IDENTICAL
    (difference,) = found.sequences
    assert difference.only_baseline == ()
    assert difference.only_candidate == ("aten.clone.default in Net",)


def test_no_op_after_another_sequence_is_a_fork(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a"), net(tmp_path / "b", extra="first", nudge=0.5))
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].fork is None
    assert found.steps[0].same_sequence is False
    assert found.sequences[0].verdict_before is Verdict.IDENTICAL


def test_a_fork_before_the_sequence_difference_is_found(tmp_path: Path) -> None:
    found = compare(net(tmp_path / "a"), net(tmp_path / "b", extra="last", nudge=0.5))
    assert found.verdict is Verdict.DIVERGENT
    assert len(found.sequences) == 1


@pytest.mark.parametrize(
    ("nudge", "verdict"),
    [(0.0, Verdict.IDENTICAL), (1e-6, Verdict.WITHIN_TOLERANCE), (0.5, Verdict.DIVERGENT)],
)
def test_with_equal_inputs_outputs_are_compared_whatever_ops_ran(
    tmp_path: Path, nudge: float, verdict: Verdict
) -> None:
    for name, op in (("a", "aten.bmm.default"), ("b", "aten.sdpa.default")):
        out = X * 2 + np.float32(nudge if name == "b" else 0)
        with RecordingBuilder(tmp_path / name) as rec, rec.step(inputs={"x": X}) as step:
            step.op(op, inputs=[X], outputs=[out], module="attention")
            step.module("attention", {"": out})
            step.op("aten.mm.default", inputs=[out], outputs=[out @ W])
            step.root({"": out @ W}, keep=True)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.verdict is verdict
    assert found.steps[0].fork is None
    assert found.steps[0].same_sequence is False
    assert found.sequences[0].only_baseline == ("aten.bmm.default in attention",)
    assert found.sequences[0].only_candidate == ("aten.sdpa.default in attention",)


def test_views_between_ops_are_no_sequence_difference(tmp_path: Path) -> None:
    for name in "ab":
        with RecordingBuilder(tmp_path / name) as rec, rec.step(inputs={"x": X}) as step:
            turned = step.view(X.T, of=X)
            for _ in range(2 if name == "b" else 1):
                step.op("aten.t.default", inputs=[X], outputs=[turned])
            out = np.ascontiguousarray(turned) + (NUDGE if name == "b" else 0)
            step.op("aten.add.Tensor", inputs=[turned], outputs=[out])
            step.root({"": out})
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.sequences == ()
    fork = found.steps[0].fork
    assert fork is not None
    assert (fork.op, fork.inputs_equal) == ("aten.add.Tensor", True)


def test_a_step_of_which_nothing_was_read_is_not_comparable(tmp_path: Path) -> None:
    for name in "ab":
        with RecordingBuilder(tmp_path / name) as rec, rec.step(inputs={"x": X}) as step:
            step.op("aten.mul.Tensor", inputs=[X], outputs=[X])
            step.root({})
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.steps[0].reason_kind is ReasonKind.UNREAD


def test_outputs_of_another_dtype_are_divergent(tmp_path: Path) -> None:
    for name, dtype in (("a", np.float32), ("b", np.float16)):
        with RecordingBuilder(tmp_path / name) as rec, rec.step(inputs={"x": X}) as step:
            step.root({"y": X.astype(dtype)}, keep=True)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].reason == "Outputs: y is float32[2, 3] and float16[2, 3]."


def test_digests_of_different_kinds_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="digests of different kinds"):
        compare(net(tmp_path / "a"), net(tmp_path / "b", digest={"name": "other"}))


def test_the_context_and_fingerprints_are_passed_on(tmp_path: Path) -> None:
    found = compare(
        net(tmp_path / "a", fingerprint={"torch": "1", "mkl": "x", "same": "s"}),
        net(tmp_path / "b", fingerprint={"torch": "2", "same": "s"}),
        specs=("torch==1", "torch==2"),
        reproduce="forkpoint diff a b",
        neutral=Neutral(equal=True, evidence="2 steps"),
    )
    assert [(d.key, d.baseline, d.candidate) for d in found.environment] == [
        ("mkl", "x", None),
        ("torch", "1", "2"),
    ]
    assert (found.baseline.spec, found.candidate.spec) == ("torch==1", "torch==2")
    assert found.reproduce == "forkpoint diff a b"
    assert found.neutral.equal is True


def test_the_heat_map_keeps_steps_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_STEPS", 2)
    monkeypatch.setattr(tables, "MAX_MODULES", 2)
    for name in "ab":
        with RecordingBuilder(tmp_path / name) as rec:
            for number in range(4):
                out = X + (NUDGE if name == "b" and number == 3 else 0)
                with rec.step(inputs={"x": X}, level=schema.MODULE) as step:
                    step.module("outer.inner", {"": X})
                    step.module("outer", {"": out}, keep=True)
                    step.root({"": out})
    heat = compare(tmp_path / "a", tmp_path / "b").heat
    assert (heat.steps, heat.omitted_steps) == ((0, 3), 2)
    assert (heat.modules, heat.omitted_modules) == (("outer", "Net"), 1)
    assert [cell.state for cell in heat.cells[1]] == ["differs", "differs"]
    assert heat.cells[1][0].max_abs == pytest.approx(1e-3, rel=1e-3)
    assert heat.cells[1][1].max_abs is None


def test_recording_is_neutral_where_bare_steps_agree(tmp_path: Path) -> None:
    seen = net(tmp_path / "seen", steps=2, level=schema.MODULE)
    same = net(tmp_path / "same", steps=2, level=schema.BARE)
    other = net(tmp_path / "other", steps=2, level=schema.BARE, nudge=1.0)
    with Recording.open(seen) as a, Recording.open(same) as b, Recording.open(other) as c:
        assert check_neutral(a, b) == Neutral(
            equal=True,
            evidence="2 steps return the same bits with and without recording",
            covered=2,
        )
        assert check_neutral(a, c).equal is False
        assert check_neutral(b, c).equal is None
        assert unrepeatable_steps(a, b) == ()
        assert unrepeatable_steps(a, c) == (0, 1)
