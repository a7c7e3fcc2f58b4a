"""The first event of a step that differs although what it was given is equal."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forkpoint.compare.measure import Measurer
from forkpoint.compare.pairing import Pairing, StepEvents, View
from forkpoint.compare.results import largest, shown
from forkpoint.model import Fork
from forkpoint.store import Recording, TensorRow, ValueRow
from forkpoint_worker.schema import BARE, KIND_MODULE, KIND_OP, ROLE_IN


@dataclass(frozen=True, slots=True)
class Found:
    """A fork, and what it rests on.

    ``proven`` says that one op with the same arguments and equal inputs gave other bits, so
    that the cause is that op whatever else the sequences do.
    """

    fork: Fork
    proven: bool


class ForkFinder:
    """Finds forks, given the aligned events of a step."""

    def __init__(self, pairing: Pairing, measurer: Measurer) -> None:
        self._pairing = pairing
        self._a, self._b = pairing.a, pairing.b
        self._measurer = measurer

    def find(self, step: int, events: StepEvents) -> Found | None:
        """The fork of a step whose outputs differ; None where only its outputs were recorded."""
        if self._pairing.level(step) == BARE:
            return None
        pairs = events.alignment.pairs[events.differs]
        if not len(pairs):
            return None
        kinds = self._a.columns.kind[events.a[pairs[:, 0]]]
        ops = pairs[kinds == KIND_OP]
        for pair in ops:
            places = int(events.a[pair[0]]), int(events.b[pair[1]])
            if inputs_equal(self._a, self._b, places):
                fork = self._fork(step, events, places, inputs_equal=True)
                return Found(fork, self._same_arguments(places))
        # no op is known to have equal inputs: the first op that differs, else the first module
        first = ops[0] if len(ops) else pairs[0]
        places = int(events.a[first[0]]), int(events.b[first[1]])
        equal = inputs_equal(self._a, self._b, places) if len(ops) else None
        return Found(self._fork(step, events, places, inputs_equal=equal), False)

    def _same_arguments(self, places: tuple[int, int]) -> bool:
        one, two = (
            view.recording.event(place).signature
            for view, place in zip((self._a, self._b), places, strict=True)
        )
        return one == two

    def _fork(
        self,
        step: int,
        events: StepEvents,
        places: tuple[int, int],
        *,
        inputs_equal: bool | None,
    ) -> Fork:
        event = self._a.recording.event(places[0])
        root = self._pairing.rows(step)[0].module
        outputs = self._measurer.outputs(*places)
        is_op = event.kind == KIND_OP
        metrics = (
            shown(event.op, outputs).metrics if is_op else largest(one.metrics for one in outputs)
        )
        return Fork(
            kind="op" if is_op else "module",
            module=event.module or root if is_op else self._a.label(places[0], root),
            op=event.op if is_op else None,
            event=event.id,
            inputs_equal=inputs_equal,
            signature=event.signature or None,
            after=self._last_identical(events, places[0], root),
            shapes=tuple(output.baseline.tensor.shape for output in outputs),
            dtypes=tuple(output.baseline.tensor.dtype for output in outputs),
            metrics=metrics,
        )

    def _last_identical(self, events: StepEvents, place: int, root: str) -> str | None:
        """The last module call that ended with equal digests before an event."""
        places = events.a[events.alignment.pairs[:, 0]]
        places = places[(places < place) & ~events.differs]
        columns = self._a.columns
        modules = places[(columns.kind[places] == KIND_MODULE) & columns.hashed[places]]
        return self._a.label(int(modules[-1]), root) if len(modules) else None


_TENSOR = re.compile(r"\b\w+\[[\d,]*\]\{[^{}]*\}")


def inputs_equal(a: View, b: View, places: tuple[int, int]) -> bool | None:
    """Whether an op's inputs are equal on both sides; None where that is not known.

    An input that nobody could read (a sparse tensor) has no row, but stands in the signature.
    """
    one, two = (_inputs(view, place) for view, place in zip((a, b), places, strict=True))
    if len(one) != len(two):
        return False
    known = [
        equal_content(a.recording, x.tensor, b.recording, y.tensor)
        for x, y in zip(one, two, strict=True)
    ]
    if _named(a, places[0]) > len(one):
        known.append(None)
    if False in known:
        return False
    return None if None in known else True


def equal_content(one: Recording, a: TensorRow, two: Recording, b: TensorRow) -> bool | None:
    """Whether two tensors hold the same; a view that was not hashed stands for its base.

    None where that is not known: only one of them is hashed, or the views are laid out
    differently.
    """
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if a.digest is not None and b.digest is not None:
        return a.digest == b.digest
    if a.digest is not None or b.digest is not None or a.stride != b.stride:
        return None
    bases = one.hashed(a), two.hashed(b)
    if bases[0] is None or bases[1] is None:
        return None
    return bases[0].digest == bases[1].digest


def _inputs(view: View, place: int) -> list[ValueRow]:
    values = view.recording.values(int(view.columns.id[place]))
    return [value for value in values if value.role == ROLE_IN]


def _named(view: View, place: int) -> int:
    """How many tensors an op's signature names: ``float32[2,3]{3,1}``."""
    signature = view.recording.event(place).signature
    return len(_TENSOR.findall(signature)) if signature else 0
