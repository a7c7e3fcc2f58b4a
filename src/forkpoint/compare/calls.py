"""Op calls that differ, one by one: what they were given, and how far apart their outputs are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from forkpoint.compare.forks import inputs_equal, largest
from forkpoint.compare.measure import Measurer
from forkpoint.compare.pairing import Pairing
from forkpoint.model import Metrics, Tolerance
from forkpoint.store import Recording
from forkpoint_worker.schema import KIND_OP, OP, ROLE_IN

OriginKey = tuple[str, tuple[str, ...]]
"""An op, and the dtypes of its inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingCall:
    """One op call whose outputs are not the same bits on both sides.

    ``inputs_equal`` is null where that is not known; ``same_arguments`` says that plain
    arguments and the layouts of tensors are equal, too. ``bytes`` is the size of its outputs.
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
    metrics: Metrics | None = None

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
        """Whether the same call gave other bits: what differs then comes from this op."""
        return bool(self.inputs_equal) and self.same_arguments


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
    inputs = [value.tensor for value in values if value.role == ROLE_IN]
    outputs = [value.tensor for value in values if value.role != ROLE_IN]
    return DifferingCall(
        step=one.step,
        module=one.module,
        op=one.op,
        call=one.call,
        signature=one.signature,
        inputs_equal=inputs_equal(pairing.a, pairing.b, places),
        same_arguments=one.signature == two.signature,
        shapes=tuple(tensor.shape for tensor in inputs),
        dtypes=tuple(dict.fromkeys(tensor.dtype for tensor in inputs)),
        bytes=sum(tensor.nbytes or 0 for tensor in outputs),
        metrics=largest(output.metrics for output in measurer.outputs(*places)),
    )


def equal_steps(baseline: Recording, candidate: Recording, steps: Iterable[int]) -> frozenset[int]:
    """Those of the steps whose outermost outputs have the same, known digest on both sides."""
    pairing = Pairing(baseline, candidate)
    found = set()
    for step in steps:
        digests = [view.digest(view.roots.get(step)) for view in (pairing.a, pairing.b)]
        if digests[0] is not None and digests[0] == digests[1]:
            found.add(step)
    return frozenset(found)
