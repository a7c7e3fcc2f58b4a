"""Which steps the search for origins begins with."""

from __future__ import annotations

import pytest

from forkpoint.compare import DifferingCall
from forkpoint.diagnose.lockstep import with_sources
from forkpoint.diagnose.procedure import to_begin_with
from forkpoint.model import Step, StepInput, Verdict

NORM, TANH = "aten.native_layer_norm.default", "aten.tanh.default"


def call(step: int, op: str = NORM, *, origin: bool = True, size: int = 10) -> DifferingCall:
    return DifferingCall(
        step=step, module="", op=op, call=0, signature="", inputs_equal=origin,
        same_arguments=True, shapes=(), dtypes=("float32",), bytes=size,
    )  # fmt: skip


SEEN = [call(step) for step in (0, 3)]


@pytest.mark.parametrize(
    ("count", "room", "expected"),
    [
        (4, 10**9, (0, 1, 2, 3)),  # twice those looked at
        (5, 10**9, (0, 3)),  # more: a round over all of them costs more than another run
        (4, 80, (0, 1, 2, 3)),  # four steps of ten bytes take half of the room
        (4, 79, (0, 3)),
    ],
)
def test_all_steps_where_they_are_few_and_fit(
    count: int, room: int, expected: tuple[int, ...]
) -> None:
    assert to_begin_with(range(count), SEEN, room) == expected


def test_room_is_needed_for_all_calls_of_a_suspect_and_for_no_others() -> None:
    later = [call(0, origin=False), call(0, TANH, origin=False, size=1000)]
    assert to_begin_with(range(4), [*SEEN, *later], 160) == (0, 1, 2, 3)
    assert to_begin_with(range(4), [*SEEN, *later], 159) == (0, 3)


def given(index: int, *sources: int) -> Step:
    """A step that was given what these earlier ones returned."""
    inputs = [
        StepInput(name="x", shape=(1,), dtype="float32", equal=False, from_step=source)
        for source in sources
    ]
    return Step(
        index=index, module="M", inputs=tuple(inputs), verdict=Verdict.DIVERGENT, fork=None,
        outputs=(), chained=bool(sources),
    )  # fmt: skip


def test_what_a_chained_step_was_given_is_substituted_with_it() -> None:
    steps = [given(0), given(1), given(2, 0), given(3, 2, 1), given(4)]
    assert with_sources(steps, [3]) == (0, 1, 2, 3)
    assert with_sources(steps, [4, 2]) == (0, 2, 4)
    assert with_sources(steps, [1]) == (1,)
