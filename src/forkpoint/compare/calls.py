"""Op calls that differ, one by one: what they were given, and how far apart their outputs are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forkpoint.compare.forks import equal_content, inputs_equal
from forkpoint.compare.measure import Measured, Measurer
from forkpoint.compare.moves import Work, moves_values, work_of
from forkpoint.compare.pairing import Pairing
from forkpoint.compare.results import NOTHING_SHOWN, Shown, shown
from forkpoint.model import Tolerance
from forkpoint.store import EventRow, Recording, ValueRow
from forkpoint_worker.schema import COMPLETE, GENERATOR, KIND_OP, OP, ROLE_IN, SOURCE_OUTSIDE

OriginKey = tuple[str, tuple[str, ...]]
"""An op, and the dtypes of its inputs."""


_FILLS = frozenset(
    (
        *("bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_"),
        *("random_", "uniform_"),
    )
)
"""Ops that fill memory with random numbers, whatever lay in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    """One input of a differing call that is not known to be equal.

    ``equal`` is false where it differs and null where that is not known. ``outside``: no recorded
    event made it (an attribute, a closure, a file, another thread did).
    """

    name: str
    equal: bool | None
    outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingCall:
    """One op call whose outputs are not the same bits on both sides.

    ``inputs_equal`` is null where that is not known; ``unlike`` are the inputs that differ or are
    not known. ``arguments`` are the calls' texts on both sides where plain arguments or memory
    layouts are not the same. ``passes_on``: the op computes nothing, it puts values elsewhere.
    ``bytes`` is the size of its outputs, ``shown`` the output that speaks for it.
    """

    step: int
    module: str
    op: str
    call: int
    signature: str
    inputs_equal: bool | None
    same_arguments: bool
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    bytes: int
    shown: Shown = NOTHING_SHOWN
    passes_on: bool = False
    unlike: tuple[Unlike, ...] = ()
    other: str = ""

    @property
    def place(self) -> tuple[int, str, str, int]:
        """Which call it is: step, module, op, number."""
        return self.step, self.module, self.op, self.call

    @property
    def origin(self) -> OriginKey:
        """What origins are told apart by."""
        return self.op, self.dtypes

    @property
    def is_origin(self) -> bool:
        """Whether the same call computed other bits: what differs then comes from this op."""
        return bool(self.inputs_equal) and self.same_arguments and not self.passes_on


def differing_calls(
    baseline: Recording, candidate: Recording, *, steps: Iterable[int], tolerance: Tolerance
) -> tuple[DifferingCall, ...]:
    """The op calls of some steps that differ, in the order in which they ended.

    Steps that were not recorded op by op on both sides have none.
    """
    pairing = Pairing(baseline, candidate)
    measurer = Measurer(pairing, tolerance)
    found = []
    for step in steps:
        if step not in pairing.steps or pairing.level(step) < OP:
            continue
        events = pairing.events(step)
        for pair in events.alignment.pairs[events.differs]:
            places = int(events.a[pair[0]]), int(events.b[pair[1]])
            if pairing.a.columns.kind[places[0]] == KIND_OP:
                found.append(_call(pairing, measurer, places))
    return tuple(found)


def _call(pairing: Pairing, measurer: Measurer, places: tuple[int, int]) -> DifferingCall:
    one, two = (
        view.recording.event(place)
        for view, place in zip((pairing.a, pairing.b), places, strict=True)
    )
    values = pairing.a.recording.values(one.id)
    inputs = [v.tensor for v in values if v.role == ROLE_IN and v.name != GENERATOR]
    measured = measurer.outputs(*places)
    return DifferingCall(
        step=one.step,
        module=one.module,
        op=one.op,
        call=one.call,
        signature=one.signature,
        inputs_equal=_given_equal(pairing, places, one, values),
        same_arguments=one.signature == two.signature,
        shapes=tuple(tensor.shape for tensor in inputs),
        dtypes=tuple(dict.fromkeys(tensor.dtype for tensor in inputs)),
        bytes=sum(v.tensor.nbytes or 0 for v in values if v.role != ROLE_IN),
        shown=shown(one.op, measured),
        passes_on=_passes_on(one.op, [tensor.dtype for tensor in inputs], measured),
        unlike=_unlike(pairing, one, two),
        other=two.signature,
    )


def _given_equal(
    pairing: Pairing, places: tuple[int, int], event: EventRow, values: Sequence[ValueRow]
) -> bool | None:
    """Whether a call was given the same: all was read, a random generator's state included."""
    draws = work_of(event.op, event.signature) is Work.DRAWS
    fills = event.op.partition(".")[2].partition(".")[0] in _FILLS
    found = (
        _drawn_equal(pairing, places, values)
        if fills
        else inputs_equal(pairing.a, pairing.b, places)
    )
    unseen = draws and not any(value.name == GENERATOR for value in values)
    unread = (
        row.role == ROLE_IN
        for view, place in zip((pairing.a, pairing.b), places, strict=True)
        for row in view.recording.unread(int(view.columns.id[place]))
    )
    return None if found and (unseen or any(unread)) else found


def _drawn_equal(
    pairing: Pairing, places: tuple[int, int], values: Sequence[ValueRow]
) -> bool | None:
    """As `inputs_equal`, without what lay in the memory that is filled: it takes no part.

    That is the first tensor, often one that nobody had written to yet.
    """
    one, two = pairing.a.recording, pairing.b.recording
    other = {
        v.slot: v for v in two.values(int(pairing.b.columns.id[places[1]])) if v.role == ROLE_IN
    }
    given = [v for v in values if v.role == ROLE_IN]
    if len(given) != len(other):
        return False
    known = [
        equal_content(one, v.tensor, two, other[v.slot].tensor) if v.slot in other else False
        for v in given[1:]
    ]
    if False in known:
        return False
    return None if None in known else True


def _passes_on(op: str, inputs: Sequence[str], measured: Sequence[Measured]) -> bool:
    return moves_values(
        op,
        inputs=inputs,
        outputs=[one.baseline.tensor.dtype for one in measured],
        slots=[one.baseline.slot for one in measured if not one.equal],
    )


def _unlike(pairing: Pairing, one: EventRow, two: EventRow) -> tuple[Unlike, ...]:
    sides = pairing.a.recording, pairing.b.recording
    given = [
        {v.slot: v for v in recording.values(event.id) if v.role == ROLE_IN}
        for recording, event in zip(sides, (one, two), strict=True)
    ]
    found = []
    for slot, a in given[0].items():
        b = given[1].get(slot)
        if b is None:
            found.append(Unlike(name=a.name, equal=False, outside=False))
            continue
        equal = equal_content(sides[0], a.tensor, sides[1], b.tensor)
        if not equal:
            outside = SOURCE_OUTSIDE in (a.tensor.source, b.tensor.source)
            found.append(Unlike(name=a.name, equal=equal, outside=outside))
    return tuple(found)


def equal_steps(baseline: Recording, candidate: Recording, steps: Iterable[int]) -> frozenset[int]:
    """Those of the steps that ended and returned the same on both sides, all of it read.

    That is everything that a step gives: tensors, plain values, what it wrote into its arguments.
    """
    pairing = Pairing(baseline, candidate)
    views = pairing.a, pairing.b
    unread = [view.recording.unread_by_event() for view in views]
    found = set()
    for step in set(steps) & set(pairing.steps):
        roots = [view.roots.get(step) for view in views]
        digests = [view.digest(root) for view, root in zip(views, roots, strict=True)]
        ended = all(row.state == COMPLETE for row in pairing.rows(step))
        missed = any(
            root is not None and unread[side].get(int(views[side].columns.id[root]))
            for side, root in enumerate(roots)
        )
        if ended and not missed and digests[0] is not None and digests[0] == digests[1]:
            found.add(step)
    return frozenset(found)
