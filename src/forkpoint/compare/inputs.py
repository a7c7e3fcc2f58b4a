"""What an op was given on both sides: what is known to be equal, and what is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import zip_longest
from typing import Literal

from forkpoint.compare.moves import Work, work_of
from forkpoint.compare.others import Others
from forkpoint.compare.pairing import Pairing, View
from forkpoint.model import ForkInput
from forkpoint.store import Recording, TensorRow, ValueRow
from forkpoint_worker import schema

_TENSOR = re.compile(r"\b\w+\[[\d,]*\]\{[^{}]*\}")
_SOURCES: dict[int, Literal["op", "input", "weight", "outside"]] = {
    schema.SOURCE_OP: "op",
    schema.SOURCE_INPUT: "input",
    schema.SOURCE_WEIGHT: "weight",
    schema.SOURCE_OUTSIDE: "outside",
}

Source = Literal["op", "input", "weight", "outside", "unknown"]


class OpInputs:
    """Compares what matched op calls were given."""

    def __init__(self, pairing: Pairing, others: Others | None = None) -> None:
        self._a, self._b = pairing.a, pairing.b
        self._others = others or Others(pairing)

    def missing(self, places: tuple[int, int]) -> tuple[ForkInput, ...]:
        """The inputs of an op that are not known to be equal; a random generator's state is one."""
        found = _unequal(self._a, self._b, places)
        return (*found, *self._unread(places), *self._random(places[0]))

    def _unread(self, places: tuple[int, int]) -> list[ForkInput]:
        """Inputs that nobody could read: older recordings only name them in the signature."""
        read = len(_inputs(self._a, places[0]))
        names = dict.fromkeys(
            name
            for side, place in enumerate(places)
            for name in sorted(self._others.unread_names(side, place, schema.ROLE_IN))
        )
        if not names and _named(self._a, places[0]) > read:
            names = {"": None}
        return [ForkInput(name=name, state="unread") for name in names]

    def _random(self, place: int) -> list[ForkInput]:
        event = self._a.recording.event(place)
        read = any(value.name == schema.GENERATOR for value in _inputs(self._a, place))
        draws = work_of(event.op, event.signature) is Work.DRAWS and not read
        return [ForkInput(name=schema.GENERATOR, state="random", source="outside")] if draws else []


def inputs_equal(a: View, b: View, places: tuple[int, int]) -> bool | None:
    """Whether the tensors that an op took are equal on both sides; None where that is not known.

    An input that nobody could read (a sparse tensor) has no row, but stands in the signature.
    """
    found = _unequal(a, b, places)
    if _named(a, places[0]) > len(_inputs(a, places[0])):
        found.append(ForkInput(name="", state="unread"))
    return all_equal(found)


def _unequal(a: View, b: View, places: tuple[int, int]) -> list[ForkInput]:
    one, two = (_inputs(view, at) for view, at in zip((a, b), places, strict=True))
    pairs = zip_longest(one, two)
    return [missing for x, y in pairs if (missing := _missing(a.recording, x, b.recording, y))]


def _missing(
    one: Recording, a: ValueRow | None, two: Recording, b: ValueRow | None
) -> ForkInput | None:
    if a is None or b is None:
        known = a or b
        assert known is not None  # the longer list has a value here
        return ForkInput(name=known.name, state="differs")
    equal = equal_content(one, a.tensor, two, b.tensor)
    if equal:
        return None
    sources = {_source(one, a.tensor), _source(two, b.tensor)}
    return ForkInput(
        name=a.name,
        state="differs" if equal is False else "unproven",
        source=sources.pop() if len(sources) == 1 else "unknown",
    )


def all_equal(missing: Iterable[ForkInput]) -> bool | None:
    """True where nothing is missing, False where an input differs, else None."""
    states = {one.state for one in missing}
    return False if "differs" in states else (None if states else True)


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


def _source(recording: Recording, tensor: TensorRow) -> Source:
    """Where a tensor came from; of a view, where its base did."""
    base = recording.hashed(tensor) or tensor
    return _SOURCES.get(base.source, "unknown")


def _inputs(view: View, place: int) -> list[ValueRow]:
    values = view.recording.values(int(view.columns.id[place]))
    return [value for value in values if value.role == schema.ROLE_IN]


def _named(view: View, place: int) -> int:
    """How many tensors an op's signature names: ``float32[2,3]{3,1}``."""
    signature = view.recording.event(place).signature
    return len(_TENSOR.findall(signature)) if signature else 0
