"""Outputs of every kind: plain values, structure, what is unread, and what runs inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkpoint.compare import diff, parse_tolerance
from forkpoint.model import Comparison, ReasonKind, Verdict
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.support.recordings import RecordingBuilder
from tests.support.runs import Did, Watched, rehash, write

X = np.arange(6, dtype=np.float32).reshape(2, 3)
PLAIN = Did(loss="0.5")


def compare(one: Path, two: Path, tolerance: str = "torch") -> Comparison:
    with Recording.open(one) as a, Recording.open(two) as b:
        return diff(a, b, tolerance=parse_tolerance(tolerance))


def pair(tmp_path: Path, one: Did, two: Did, **manifest: Any) -> Comparison:
    return compare(write(tmp_path / "a", [one]), write(tmp_path / "b", [two], **manifest))


def test_a_plain_value_beside_equal_tensors_is_an_output(tmp_path: Path) -> None:
    found = pair(tmp_path, PLAIN, replace(PLAIN, loss="7.25"))
    step = found.steps[0]
    assert found.verdict is Verdict.DIVERGENT
    assert all(output.equal for output in step.outputs)
    assert step.reason_kind is ReasonKind.PLAIN_VALUES
    assert [(v.name, v.baseline, v.candidate) for v in step.values] == [("loss", "0.5", "7.25")]
    assert "loss (0.5 in the baseline, 7.25 in the candidate)" in (step.reason or "")


def test_no_tolerance_covers_a_plain_value(tmp_path: Path) -> None:
    found = pair(tmp_path, PLAIN, replace(PLAIN, loss="0.5000001", outer=1e-7))
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].reason_kind is ReasonKind.PLAIN_VALUES


@pytest.mark.parametrize("other", [replace(PLAIN, key="scores"), replace(PLAIN, loss=None)])
def test_another_structure_is_a_difference(tmp_path: Path, other: Did) -> None:
    found = pair(tmp_path, PLAIN, other)
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].reason_kind is ReasonKind.STRUCTURE


def test_one_more_tensor_in_the_candidate_is_a_difference(tmp_path: Path) -> None:
    for name, more in (("a", {}), ("b", {"aux": X})):
        with RecordingBuilder(tmp_path / name) as rec, rec.step(inputs={"x": X}) as step:
            step.root({"y": X, **more}, keep=True)
    for one, two, where in (("a", "b", "baseline"), ("b", "a", "candidate")):
        found = compare(tmp_path / one, tmp_path / two)
        assert found.verdict is Verdict.DIVERGENT
        assert f"aux is not in the {where}" in (found.steps[0].reason or "")


def test_an_unread_output_is_never_identical_nor_within_tolerance(tmp_path: Path) -> None:
    unread = replace(PLAIN, unread="stream")
    for number, outer in enumerate((0.0, 1e-7)):
        folder = tmp_path / str(number)
        found = pair(folder, unread, replace(unread, outer=outer))
        step = found.steps[0]
        assert found.verdict is Verdict.NOT_COMPARABLE
        assert step.reason_kind is ReasonKind.UNREAD
        assert "output stream, sparse_bsr tensor of (2, 2)" in (step.reason or "")
        assert {(one.side, one.role, one.name) for one in step.unread} == {
            ("baseline", "output", "stream"),
            ("candidate", "output", "stream"),
        }


def test_an_unread_output_hides_no_divergent_one(tmp_path: Path) -> None:
    unread = replace(PLAIN, unread="stream")
    assert pair(tmp_path, unread, replace(unread, outer=0.5)).verdict is Verdict.DIVERGENT


def test_an_unread_input_stands_against_any_verdict(tmp_path: Path) -> None:
    unread = replace(PLAIN, unread_input="batches")
    found = pair(tmp_path, unread, unread)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert [one.role for one in found.steps[0].unread] == ["input", "input"]


def test_an_unread_weight_makes_no_claim_of_equal_weights(tmp_path: Path) -> None:
    for name in "ab":
        with RecordingBuilder(tmp_path / name) as rec, rec.step(inputs={"x": X}) as step:
            event = rec.weights(0, {"w": X})
            rec.unread(event, schema.ROLE_IN, {"packed": "object of class Packed"})
            step.root({"y": X})
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.weights_equal is None
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "weight packed, object of class Packed" in (found.steps[0].reason or "")


def test_what_differs_inside_leaves_the_verdict_alone_and_is_told(tmp_path: Path) -> None:
    did = Did(hidden=True)
    found = pair(tmp_path, did, replace(did, inner=0.5))
    inner = found.steps[0].inner
    assert found.verdict is Verdict.IDENTICAL
    assert found.steps[0].fork is None
    assert inner is not None
    assert (inner.module, inner.op, inner.differing, inner.compared) == (
        "inner",
        "aten.mul.Tensor",
        4,
        5,
    )


def test_weights_that_differ_are_named_with_the_step_that_first_shows_it(tmp_path: Path) -> None:
    one = [Did(), Did(), Did()]
    two = [Did(), Did(weight=1.0), Did(weight=1.0)]
    found = compare(write(tmp_path / "a", one), write(tmp_path / "b", two))
    assert [(w.module, w.name, w.step) for w in found.weights] == [("Net", "w", 1)]
    assert found.weights_equal is False
    assert [s.verdict for s in found.steps] == [Verdict.IDENTICAL, *[Verdict.NOT_COMPARABLE] * 2]


def test_what_the_user_set_goes_first_and_packages_last(tmp_path: Path) -> None:
    keys = ("package.torch", "variable.ORDER", "torch.git", "threads.intra")
    found = compare(
        write(tmp_path / "a", [Did()], fingerprint=dict.fromkeys(keys, "1"), argv=["-b", "3"]),
        write(
            tmp_path / "b",
            [Did(given=1.0)],
            fingerprint=dict.fromkeys(keys, "2"),
            argv=["-b", "4"],
            settings={"threads": "2"},
        ),
    )
    assert [(d.key, d.asked) for d in found.environment] == [
        ("arguments", True),
        ("setting.threads", True),
        ("variable.ORDER", True),
        ("threads.intra", False),
        ("torch.git", False),
        ("package.torch", False),
    ]


CALL = Watched()


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (CALL, Verdict.IDENTICAL),
        (replace(CALL, argument="2"), Verdict.IDENTICAL),
        (replace(CALL, result=1e-7), Verdict.WITHIN_TOLERANCE),
        (replace(CALL, result=1.0), Verdict.DIVERGENT),
        (replace(CALL, unread="rest"), Verdict.NOT_COMPARABLE),
        (replace(CALL, unread="rest", result=1.0), Verdict.DIVERGENT),
        (None, Verdict.NOT_COMPARABLE),
    ],
)
def test_results_of_watched_functions_are_outputs(
    tmp_path: Path, other: Watched | None, verdict: Verdict
) -> None:
    one = write(tmp_path / "a", [Did()], [CALL])
    found = compare(one, write(tmp_path / "b", [Did()], [other] if other else []))
    assert found.steps[0].verdict is Verdict.IDENTICAL
    assert found.watched[0].verdict is verdict
    assert found.verdict is verdict


def test_plain_arguments_with_an_arrow_are_compared_whole(tmp_path: Path) -> None:
    one = write(tmp_path / "a", [Did()], [Watched(argument="'a b -> b a'")])
    two = write(tmp_path / "b", [Did()], [Watched(argument="'a b -> (b a)'")])
    call = compare(one, two).watched[0]
    assert (call.arguments_equal, call.results_equal) == (False, True)


def test_where_old_texts_do_not_tell_arguments_from_results_nothing_is_claimed(
    tmp_path: Path,
) -> None:
    for name, pattern in (("a", "b a"), ("b", "(b a)")):
        with RecordingBuilder(tmp_path / name) as rec:
            with rec.step(inputs={"x": X}) as step:
                step.root({"y": X})
            text = f"pattern='a b -> {pattern}' -> "
            event = rec.event(schema.KIND_WATCH, step=0, op="h:f", signature=text, inside=False)
            rehash(rec, event, X, [])
    assert compare(tmp_path / "a", tmp_path / "b").watched[0].arguments_equal is None
