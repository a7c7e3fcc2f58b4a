"""Which steps the search for origins begins with."""

from __future__ import annotations

import pytest

from forkpoint.compare import DifferingCall
from forkpoint.diagnose.procedure import to_begin_with

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
