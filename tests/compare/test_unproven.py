"""Forks that are no more than the first difference seen, and what their inputs miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkpoint.compare import diff, parse_tolerance
from forkpoint.model import Comparison, Fork, ReasonKind, Verdict
from forkpoint.report import headline, to_markdown
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.support.recordings import RecordingBuilder

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def run(
    folder: Path,
    *,
    op: str,
    outside: float = 0.0,
    source: int = schema.SOURCE_OUTSIDE,
    nudge: float = 0.0,
    argument: str = "",
    unread: bool = False,
) -> Path:
    """One op that takes the step's input and a tensor from elsewhere."""
    kept = np.full((1, 3), outside, dtype=np.float32)
    out = np.concatenate([X, kept]) + np.float32(nudge)
    with RecordingBuilder(folder) as rec, rec.step(inputs={"x": X}) as step:
        rec.weights(0, {"w": X})
        event = rec.event(
            schema.KIND_OP,
            step=0,
            op=op,
            signature=f"{op}({argument})",
            inputs=[
                ("tensors[0]", rec.tensor(kept, source=source)),
                ("tensors[1]", rec.tensor(X)),
            ],
            outputs=[("out", rec.tensor(out))],
            digest=int(out.sum() * 1000),
        )
        if unread:
            rec.unread(event, schema.ROLE_IN, {"index": "nested tensor"})
        step.root({"y": out}, keep=True)
    return folder


def compare(tmp_path: Path, op: str, both: dict[str, Any], **other: Any) -> Comparison:
    one = run(tmp_path / "a", op=op, **both)
    two = run(tmp_path / "b", op=op, **{**both, **other})
    with Recording.open(one) as a, Recording.open(two) as b:
        return diff(a, b, tolerance=parse_tolerance())


def fork_of(found: Comparison) -> Fork:
    fork = found.steps[0].fork
    assert fork is not None
    return fork


@pytest.mark.parametrize("op", ["aten.cat.default", "aten.addcmul.default"])
def test_what_came_from_outside_is_named_and_no_op_is_called_the_first(
    tmp_path: Path, op: str
) -> None:
    found = compare(tmp_path, op, {}, outside=0.5)
    fork = fork_of(found)
    (missing,) = fork.inputs
    assert (fork.proven, fork.inputs_equal) == (False, False)
    assert (missing.name, missing.state, missing.source) == ("tensors[0]", "differs", "outside")
    said = headline(found)
    assert "first difference seen" in said
    assert "`tensors[0]` came from outside the recorded events and differs" in said
    assert "first operator" not in said + to_markdown(found)


@pytest.mark.parametrize(
    "op", ["aten.clone.default", "aten.roll.default", "aten.embedding.default", "aten.stack.x"]
)
def test_an_op_that_passes_numbers_on_is_no_first_operator(tmp_path: Path, op: str) -> None:
    fork = fork_of(compare(tmp_path, op, {}, nudge=0.5))
    assert (fork.inputs_equal, fork.moves, fork.proven) == (True, True, False)


def test_an_op_that_computes_from_equal_inputs_is(tmp_path: Path) -> None:
    found = compare(tmp_path, "aten.addcmul.default", {}, nudge=0.5)
    assert fork_of(found).proven
    assert "first operator that differs" in headline(found)


@pytest.mark.parametrize(
    ("op", "both", "other", "state", "equal"),
    [
        ("aten.addcmul.default", {"unread": True}, {}, "unread", None),
        ("aten.bernoulli.p", {}, {}, "random", None),
        ("aten.addcmul.default", {"argument": "1"}, {"argument": "2"}, "differs", False),
    ],
)
def test_an_input_that_was_not_seen_is_not_called_equal(
    tmp_path: Path,
    op: str,
    both: dict[str, Any],
    other: dict[str, Any],
    state: str,
    equal: bool | None,
) -> None:
    fork = fork_of(compare(tmp_path, op, both, nudge=0.5, **other))
    assert [one.state for one in fork.inputs] == [state]
    assert fork.inputs_equal is equal
    assert not fork.proven


def test_a_weight_that_an_op_saw_to_differ_is_a_weight_that_differs(tmp_path: Path) -> None:
    """Its digest was equal when the step began: it was written to unseen."""
    both = {"source": schema.SOURCE_WEIGHT}
    found = compare(tmp_path, "aten.addcmul.default", both, outside=0.5)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.weights_equal is False
    assert found.steps[0].reason_kind is ReasonKind.WEIGHTS
    assert found.steps[0].fork is None
