"""Changes of a call that are no sizes: values, dtypes, memory layouts, plain arguments, lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forkpoint.diagnose.experiments import layouts
from forkpoint.diagnose.experiments.findings import Pair, Sides, differ
from forkpoint.diagnose.experiments.naming import argument_names
from forkpoint.diagnose.experiments.recipes import FLOATS
from forkpoint.diagnose.experiments.variants import Template
from forkpoint.diagnose.words import joined
from forkpoint.host import Call
from forkpoint.model import Sweep, SweepPoint

AS_RECORDED = "as recorded"

_FACTORS = (2.0**-4, 2.0**4)
_DTYPES = ("float32", "bfloat16", "float16", "float64")
_VALUES, _DTYPE, _LAYOUT, _ARGUMENT = "values", "dtype", "layout", "argument"
_MOST_LAID_OUT = 3  # tensors whose memory layout is varied
_INPUTS, _CONTROLS = 3, 12
_MANY = 1_000_000  # elements of a call from which on it is tried less often


@dataclass(frozen=True, slots=True)
class Variation:
    """One change: of what kind, of what (a tensor, an argument), and what it is made to be."""

    kind: str
    subject: str
    label: str


class Categories:
    """Changes that are no sizes, and what they showed."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._names = argument_names(template.call)
        self._asked: dict[str, Variation] = {}
        self._results: dict[Variation, list[bool]] = {}

    def calls(self, pair: Pair) -> list[Call]:
        """The calls to make, each change with several random inputs."""
        few = self._template.cost({}) * 8 > _MANY  # nothing is touched: a share of all elements
        found = []
        for seed in range(1, 1 + (_CONTROLS // 3 if few else _CONTROLS)):
            changes = self._values(seed)
            if seed <= (2 if few else _INPUTS):
                changes = self._changes(seed)
            for variation, document in changes:
                name = f"change {len(self._asked)}"
                self._asked[name] = variation
                found.append(pair.call(name, document))
        return found

    def take(self, answers: Mapping[str, Sides]) -> None:
        """Note what the calls gave; those that did not run on both sides are left out."""
        for name, sides in answers.items():
            variation = self._asked.get(name)
            if variation is not None and (found := differ(sides)) is not None:
                self._results.setdefault(variation, []).append(found)

    def values(self) -> str:
        """Words where values decide whether the sides differ, else nothing.

        Random values in the very memory layout of the recorded call are the control.
        """
        shares = self._shares(_VALUES, "")
        own = shares.get("1.0")
        if own is None:
            return ""
        differing, inputs = own
        if not differing:
            return (
                f"the recorded values differ, and none of {inputs} random inputs in the same "
                "memory layout does: values decide, so no rule of sizes is claimed"
            )
        if differing < inputs:
            return (
                f"at the recorded sizes only {differing} of {inputs} random inputs differ: "
                "values decide, so no rule of sizes is claimed"
            )
        if all(share == total for share, total in shares.values()):
            return ""
        told = ", ".join(
            f"{differing} of {inputs} at {float(factor):g} times"
            for factor, (differing, inputs) in shares.items()
        )
        return (
            f"the magnitude of the values matters ({told} the recorded spread differ), so no rule "
            "of sizes is claimed"
        )

    def controlled(self) -> bool:
        """Whether every random input in the recorded memory layout differs."""
        differing, inputs = self._shares(_VALUES, "").get("1.0", (0, 1))
        return differing == inputs

    def layout_decides(self, tensor: int) -> bool:
        """Whether the sides agree as soon as a tensor that is not contiguous is."""
        differing, inputs = self._shares(_LAYOUT, self._names[tensor]).get("contiguous", (0, 0))
        return self.controlled() and inputs > 0 and not differing

    def sweeps(self) -> list[Sweep]:
        """The sweeps over dtypes, layouts and arguments of which more than one value ran."""
        found = []
        for kind, subject in self._subjects():
            points = tuple(
                SweepPoint(size=place, inputs=inputs, differing=differing, label=label)
                for place, (label, (differing, inputs)) in enumerate(
                    self._shares(kind, subject).items()
                )
            )
            if len(points) > 1:
                name = f"memory layout of {subject}" if kind == _LAYOUT else subject
                found.append(Sweep(dimension=name, points=points, rule=_rule(points)))
        return found

    def clauses(self) -> list[str]:
        """For each change that decides, with what the sides differ and with what they agree."""
        found = []
        for kind, subject in self._subjects():
            shares = self._shares(kind, subject)
            if any(0 < differing < inputs for differing, inputs in shares.values()):
                continue
            yes = [label for label, (differing, _) in shares.items() if differing]
            no = [label for label, (differing, _) in shares.items() if not differing]
            if yes and no:
                start, end = (f"{subject} ", " in memory") if kind == _LAYOUT else ("", "")
                met, unmet = (_without_name(labels, subject) for labels in (yes, no))
                met = [yes[0], *met[1:]]
                found.append(f"with {start}{joined(met, 'or')}{end} and not {joined(unmet, 'or')}")
        return found

    def _subjects(self) -> list[tuple[str, str]]:
        found = dict.fromkeys((one.kind, one.subject) for one in self._results)
        return [one for one in found if one[0] != _VALUES]

    def _shares(self, kind: str, subject: str) -> dict[str, tuple[int, int]]:
        """By label: how many inputs differ, of how many that ran."""
        return {
            one.label: (sum(results), len(results))
            for one, results in self._results.items()
            if (one.kind, one.subject) == (kind, subject)
        }

    def _values(self, seed: int) -> Iterator[tuple[Variation, Mapping[str, Any]]]:
        yield Variation(_VALUES, "", "1.0"), self._template.refilled(seed)

    def _changes(self, seed: int) -> Iterator[tuple[Variation, Mapping[str, Any]]]:
        template = self._template
        yield from self._values(seed)
        for factor in _FACTORS:
            yield Variation(_VALUES, "", str(factor)), template.refilled(seed, factor)
        for dtype in _DTYPES:
            converted = template.converted(dtype, seed)
            if converted is not None:
                yield Variation(_DTYPE, "dtype", dtype), converted
        for argued in (template.argued, template.counted):
            for name, label, document in argued(seed):
                yield Variation(_ARGUMENT, name, label), document
        yield from self._laid_out(seed)

    def _laid_out(self, seed: int) -> Iterator[tuple[Variation, Mapping[str, Any]]]:
        tensors = [
            number
            for number, layout in enumerate(self._template.call.tensors)
            if layout.dtype in FLOATS and layout.shape and 0 not in layout.shape
        ]
        for tensor in tensors[:_MOST_LAID_OUT]:
            name = self._names[tensor]
            if not self._template.is_dense(tensor):
                yield Variation(_LAYOUT, name, AS_RECORDED), self._template.refilled(seed)
            for layout in layouts.MADE:
                shape = self._template.call.tensors[tensor].shape
                if layout == "transposed" and (len(shape) < 2 or 1 in shape[-2:]):
                    continue
                document = self._template.laid_out(tensor, layout, seed)
                yield Variation(_LAYOUT, name, layout), document


def _without_name(labels: Sequence[str], name: str) -> list[str]:
    return [label.removeprefix(f"{name}=") for label in labels]


def _rule(points: Sequence[SweepPoint]) -> str | None:
    if any(0 < point.differing < point.inputs for point in points):
        return None
    yes = [point.label for point in points if point.differing]
    no = [point.label for point in points if not point.differing]
    if not no:
        return "with each: " + ", ".join(yes)
    if not yes:
        return None
    return f"with {', '.join(yes)}; not with {', '.join(no)}"
