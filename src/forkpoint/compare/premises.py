"""What must be equal before numbers are compared: root module, weights, inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from forkpoint.compare.others import Others
from forkpoint.compare.pairing import Pairing, View
from forkpoint.model import PlainDifference, ReasonKind, StepInput, Unread, WeightDifference
from forkpoint.store import TensorRow, ValueRow
from forkpoint_worker.schema import KIND_INPUT, KIND_WEIGHTS, ROLE_IN

_SHOWN = 3
_MOST_WEIGHTS = 100


@dataclass(frozen=True, slots=True)
class Premise:
    """Why a step cannot be judged: the kind of reason, and a whole sentence."""

    kind: ReasonKind
    text: str


class Premises:
    """Inputs and weights of every step, on both sides."""

    def __init__(self, pairing: Pairing) -> None:
        self._pairing = pairing
        self.others = Others(pairing)
        self._inputs = tuple(
            view.recording.values_of_kind(KIND_INPUT) for view in (pairing.a, pairing.b)
        )
        self._weights: dict[tuple[int | None, int | None], _Weights] = {}

    def reason(self, step: int) -> Premise | None:
        """What is known to differ, so that the step cannot be compared; None where it can."""
        one, two = self._pairing.rows(step)
        if one.module != two.module:
            text = (
                f"Step {step} called {one.module} in the baseline, {two.module} in the candidate."
            )
            return Premise(ReasonKind.OTHER_MODULE, text)
        return self._weights_reason(step) or self._inputs_reason(step)

    def unread(self, step: int) -> tuple[Unread, ...]:
        """What a step was given and computed with that could not be read on either side."""
        weights = self._pairing.a.weights.get(step), self._pairing.b.weights.get(step)
        return (
            *self.others.unread(weights, ROLE_IN),
            *self.others.unread(self._places(step), ROLE_IN),
        )

    def plain(self, step: int) -> tuple[PlainDifference, ...]:
        """The inputs that are no tensors and differ, with the structure of containers."""
        return self.others.differences(self._places(step), ROLE_IN)

    def sources(self, step: int) -> tuple[int, ...]:
        """The earlier steps that returned the tensors that differ in a step's inputs.

        Empty where nothing differs, where one of those tensors is not traced, and where anything
        else is unlike: the module, its weights, a plain value.
        """
        one, two = self._input_values(step)
        rows = self._pairing.rows(step)
        alike = rows[0].module == rows[1].module and len(one) == len(two)
        if not alike or self._plain_differ(step) or self._weights_reason(step):
            return ()
        pairs = zip(one, two, strict=True)
        found = {self._source(step, a, b) for a, b in pairs if not same_tensor(a.tensor, b.tensor)}
        return () if None in found else tuple(sorted(s for s in found if s is not None))

    def inputs(self, step: int) -> tuple[StepInput, ...]:
        """The tensors that the step was called with, as the baseline has them."""
        one, two = self._input_values(step)
        return tuple(
            StepInput(
                name=a.name,
                shape=a.tensor.shape,
                dtype=a.tensor.dtype,
                equal=b is not None and same_tensor(a.tensor, b.tensor),
                from_step=None if b is None else self._source(step, a, b),
            )
            for a, b in zip_longest(one, two)
            if a is not None
        )

    @cached_property
    def weights_equal(self) -> bool | None:
        """Whether all weights were read and are equal; None where that is not known."""
        if self.weights()[0]:
            return False
        one, two = self._pairing.a, self._pairing.b
        found = [
            one.digest(a) == two.digest(b) and not self.others.unread((a, b), ROLE_IN)
            for step in self._pairing.steps
            for a, b in [(one.weights.get(step), two.weights.get(step))]
            if a is not None and b is not None
        ]
        return True if found and all(found) else None

    def weights(self) -> tuple[tuple[WeightDifference, ...], int]:
        """The weights that differ, by the step that first shows each; how many were left out."""
        first: dict[tuple[str, str], int] = {}
        for step in self._pairing.steps:
            one, two = self._pairing.rows(step)
            if one.module == two.module:
                for name in self._compared_weights(step).unequal:
                    first.setdefault((one.module, name), step)
        listed = sorted(first.items(), key=lambda item: item[1])
        return (
            tuple(
                WeightDifference(module=module, name=name, step=step)
                for (module, name), step in listed[:_MOST_WEIGHTS]
            ),
            max(0, len(listed) - _MOST_WEIGHTS),
        )

    def _places(self, step: int) -> tuple[int | None, int | None]:
        return self._pairing.a.inputs.get(step), self._pairing.b.inputs.get(step)

    def _input_values(self, step: int) -> tuple[tuple[ValueRow, ...], tuple[ValueRow, ...]]:
        one, two = (
            values.get(int(view.columns.id[view.inputs[step]]), ()) if step in view.inputs else ()
            for view, values in zip((self._pairing.a, self._pairing.b), self._inputs, strict=True)
        )
        return one, two

    def _plain_differ(self, step: int) -> bool:
        """Whether the values among the inputs that are no tensors are not the same text."""
        if self.others.known(self._places(step), ROLE_IN):
            return bool(self.plain(step))
        texts = {
            view.recording.event(view.inputs[step]).signature if step in view.inputs else ""
            for view in (self._pairing.a, self._pairing.b)
        }
        return len(texts) > 1

    def _inputs_reason(self, step: int) -> Premise | None:
        a, b = self._pairing.a, self._pairing.b
        if a.digest(a.inputs.get(step)) == b.digest(b.inputs.get(step)):
            return None
        one, two = self._input_values(step)
        if len(one) != len(two):
            return Premise(
                ReasonKind.INPUTS,
                f"Step {step} was called with {len(one)} tensors in the baseline, "
                f"{len(two)} in the candidate.",
            )
        unequal = [
            _difference(x, y) + self._where_from(step, x, y)
            for x, y in zip(one, two, strict=True)
            if not same_tensor(x.tensor, y.tensor)
        ]
        unequal += [contrast(value) for value in self.plain(step)]
        what = some(unequal) if unequal else "a value that is no tensor"
        return Premise(ReasonKind.INPUTS, f"Step {step} had other inputs: {what}.")

    def _where_from(self, step: int, one: ValueRow, two: ValueRow) -> str:
        source = self._source(step, one, two)
        return "" if source is None else f", which is what step {source} returned"

    def _source(self, step: int, one: ValueRow, two: ValueRow) -> int | None:
        """The earlier step that returned both of two unlike tensors, each on its side."""
        if same_tensor(one.tensor, two.tensor):
            return None
        places = [
            returned.get(value.tensor.digest)
            for returned, value in zip(self._returned, (one, two), strict=True)
        ]
        if places[0] is None or places[0] != places[1] or places[0][0] >= step:
            return None
        return places[0][0]

    @cached_property
    def _returned(self) -> tuple[dict[int | None, tuple[int, str]], ...]:
        """On each side, by digest: the first step that returned such a tensor, and its name."""
        return tuple(map(_returned, (self._pairing.a, self._pairing.b)))

    def _weights_reason(self, step: int) -> Premise | None:
        found = self._compared_weights(step)
        if not found.unequal:
            return None
        module = self._pairing.rows(step)[0].module
        listed = f"{some(found.unequal)} ({len(found.unequal)} of {found.total})"
        return Premise(ReasonKind.WEIGHTS, f"The weights of {module} differ: {listed}.")

    def _compared_weights(self, step: int) -> _Weights:
        places = self._pairing.a.weights.get(step), self._pairing.b.weights.get(step)
        if places not in self._weights:
            self._weights[places] = self._compare_weights(*places)
        return self._weights[places]

    def _compare_weights(self, one: int | None, two: int | None) -> _Weights:
        a, b = self._pairing.a, self._pairing.b
        if one is None or two is None or a.digest(one) == b.digest(two):
            return _Weights((), 0)
        sides = [
            {
                value.name: value
                for value in view.recording.values(int(view.columns.id[place]))
                if value.role == ROLE_IN
            }
            for view, place in ((a, one), (b, two))
        ]
        assert a.columns.kind[one] == KIND_WEIGHTS
        unread = {row.name for row in self.others.unread((one, two), ROLE_IN)}
        names = dict.fromkeys([*sides[0], *sides[1]])
        unequal = [
            name
            for name in names
            if name not in unread
            and (
                name not in sides[0]
                or name not in sides[1]
                or not same_tensor(sides[0][name].tensor, sides[1][name].tensor)
            )
        ]
        return _Weights(tuple(unequal), len(names))


@dataclass(frozen=True, slots=True)
class _Weights:
    """The names of weights that differ, out of how many there are on either side."""

    unequal: tuple[str, ...]
    total: int


def _returned(view: View) -> dict[int | None, tuple[int, str]]:
    found: dict[int | None, tuple[int, str]] = {}
    for step, place in view.roots.items():
        for value in view.root_values.get(int(view.columns.id[place]), ()):
            if value.tensor.digest is not None:
                found.setdefault(value.tensor.digest, (step, value.name))
    return found


def same_tensor(one: TensorRow, two: TensorRow) -> bool:
    """Whether two hashed tensors have the same bits, dtype and shape."""
    return one.digest is not None and one.digest == two.digest


def describe(tensor: TensorRow) -> str:
    """``float32[2, 3]``."""
    return f"{tensor.dtype}{list(tensor.shape)}"


def contrast(value: PlainDifference) -> str:
    """``loss is 0.5 in the baseline, 7.25 in the candidate``, in short."""
    name = "the structure" if value.structure else value.name or "a plain value"
    sides = (value.baseline, value.candidate)
    said = ["not there" if text is None else text for text in sides]
    return f"{name} ({said[0]} in the baseline, {said[1]} in the candidate)"


def unread_sentence(step: int, unread: Iterable[Unread]) -> str:
    """What could not be read, by place and type; the same on both sides is said once."""
    listed = dict.fromkeys(f"{row.role} {row.name or '(all of it)'}, {row.why}" for row in unread)
    return f"In step {step} not everything could be read: {some(listed)}."


def _difference(one: ValueRow, two: ValueRow) -> str:
    name = one.name or "the only one"
    if describe(one.tensor) == describe(two.tensor):
        return f"{name} ({describe(one.tensor)})"
    return f"{name} ({describe(one.tensor)} and {describe(two.tensor)})"


def some(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    known = list(names)
    more = len(known) - _SHOWN
    return ", ".join(known[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
