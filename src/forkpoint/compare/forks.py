"""The first event of a step that differs, and whether it can be the cause."""

from __future__ import annotations

from collections.abc import Iterable

from forkpoint.compare.inputs import OpInputs, all_equal, equal_content, inputs_equal
from forkpoint.compare.measure import Measured, Measurer
from forkpoint.compare.moves import moves_values
from forkpoint.compare.others import Others
from forkpoint.compare.pairing import Pairing, Positions, StepEvents, View
from forkpoint.compare.results import largest, shown
from forkpoint.model import Fork, ForkInput
from forkpoint_worker.schema import BARE, KIND_MODULE, KIND_OP, ROLE_IN, ROLE_OUT

__all__ = ["ForkFinder", "differing_before", "equal_content", "inputs_equal", "moved"]


class ForkFinder:
    """Finds forks, given the aligned events of a step."""

    def __init__(self, pairing: Pairing, measurer: Measurer, others: Others) -> None:
        self._pairing = pairing
        self._a, self._b = pairing.a, pairing.b
        self._measurer = measurer
        self._inputs = OpInputs(pairing, others)

    def find(self, step: int, events: StepEvents) -> Fork | None:
        """The first event that differs, before other ops or modules ran.

        None where only the step's outputs were recorded, and where nothing differs before the
        sequences do: what comes after that place is given what other ops made.
        """
        pairs = differing_before(events)
        if self._pairing.level(step) == BARE or not len(pairs):
            return None
        return self._fork(step, events, (int(events.a[pairs[0, 0]]), int(events.b[pairs[0, 1]])))

    def _fork(self, step: int, events: StepEvents, places: tuple[int, int]) -> Fork:
        event = self._a.recording.event(places[0])
        root = self._pairing.rows(step)[0].module
        outputs = self._measurer.outputs(*places)
        is_op = event.kind == KIND_OP
        metrics = (
            shown(event.op, outputs).metrics if is_op else largest(one.metrics for one in outputs)
        )
        missing = self._missing(places) if is_op else ()
        return Fork(
            kind="op" if is_op else "module",
            module=event.module or root if is_op else self._a.label(places[0], root),
            op=event.op if is_op else None,
            event=event.id,
            inputs_equal=all_equal(missing) if is_op else None,
            signature=event.signature or None,
            after=self._last_identical(events, places[0], root),
            shapes=tuple(output.baseline.tensor.shape for output in outputs),
            dtypes=tuple(output.baseline.tensor.dtype for output in outputs),
            metrics=metrics,
            moves=is_op and moved(self._a, places[0], outputs),
            inputs=missing,
        )

    def _missing(self, places: tuple[int, int]) -> tuple[ForkInput, ...]:
        """What an op's inputs miss; equal tensors may still come with other plain arguments."""
        found = self._inputs.missing(places)
        one, two = (
            view.recording.event(place).signature
            for view, place in zip((self._a, self._b), places, strict=True)
        )
        if found or one == two:
            return found
        return (ForkInput(name="", state="differs", source="arguments"),)

    def _last_identical(self, events: StepEvents, place: int, root: str) -> str | None:
        """The last module call that ended with equal digests before an event."""
        places = events.a[events.alignment.pairs[:, 0]]
        places = places[(places < place) & ~events.differs]
        columns = self._a.columns
        modules = places[(columns.kind[places] == KIND_MODULE) & columns.hashed[places]]
        return self._a.label(int(modules[-1]), root) if len(modules) else None


def differing_before(events: StepEvents) -> Positions:
    """Pairs of events that differ, before the place where the sequences part: [n, 2]."""
    pairs = events.alignment.pairs[events.differs]
    return pairs[pairs[:, 0] < events.alignment.common]


def moved(view: View, place: int, outputs: Iterable[Measured]) -> bool:
    """Whether an op only put numbers elsewhere, as far as its outputs that differ go."""
    event = view.recording.event(place)
    values = view.recording.values(event.id)
    return moves_values(
        event.op,
        inputs=tuple(v.tensor.dtype for v in values if v.role == ROLE_IN),
        outputs=tuple(v.tensor.dtype for v in values if v.role == ROLE_OUT),
        slots=tuple(output.baseline.slot for output in outputs if not output.equal),
    )
