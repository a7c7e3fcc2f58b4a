"""Changes of a call that are no sizes: magnitudes of values, dtypes, layouts, plain arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from forkpoint.diagnose.experiments.findings import Pair, Sides, differ
from forkpoint.diagnose.experiments.variants import Template
from forkpoint.host import Call
from forkpoint.model import Sweep, SweepPoint

_FACTORS = (2.0**-4, 2.0**4)


class Categories:
    """Changes that are no sizes, and what they showed."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._answers: dict[str, Sides] = {}

    def calls(self, pair: Pair) -> list[Call]:
        """The calls to make, each change with three random inputs."""
        return [
            pair.call(f"{kind}/{label}/{seed}", document)
            for seed in (1, 2, 3)
            for kind, label, document in self._documents(seed)
        ]

    def _documents(self, seed: int) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        template = self._template
        shape = template.call.tensors[0].shape
        for factor in (1.0, *_FACTORS):
            yield "values", str(factor), template.refilled(seed, factor)
        for dtype in ("float32", "bfloat16", "float16", "float64"):
            converted = template.converted(dtype, seed)
            if converted is not None:
                yield "dtype", dtype, converted
        for label, argued in template.argued(seed).items():
            yield "argument", label, argued
        for layout in ("contiguous", "transposed", "offset"):
            if 0 not in shape and (layout != "transposed" or len(shape) > 1):
                yield "layout", layout, template.laid_out(0, layout, seed)

    def values(self, answers: dict[str, Sides]) -> str:
        """Words where the magnitude of values matters, else nothing."""
        self._answers = {
            name: sides
            for name, sides in answers.items()
            if name.partition("/")[0] in ("values", "dtype", "layout", "argument")
        }
        shares = _shares(self._answers, "values")
        if len(set(shares.values())) < 2:
            return ""
        told = ", ".join(
            f"{differing} of {inputs} at {float(factor):g} times"
            for factor, (differing, inputs) in shares.items()
        )
        return (
            f"the magnitude of the values matters ({told} the recorded spread differ), so no rule "
            "of sizes is claimed"
        )

    def sweeps(self) -> list[Sweep]:
        """The sweeps over dtypes, layouts and plain arguments."""
        found = []
        by_argument = _shares(self._answers, "argument")
        names = dict.fromkeys(label.partition("=")[0] for label in by_argument)
        kinds = {
            "dtype": _shares(self._answers, "dtype"),
            "memory layout of the first tensor": _shares(self._answers, "layout"),
            **{name: _starting(by_argument, f"{name}=") for name in names},
        }
        for name, shares in kinds.items():
            if len(shares) < 2:
                continue
            points = tuple(
                SweepPoint(size=place, inputs=inputs, differing=differing, label=label)
                for place, (label, (differing, inputs)) in enumerate(shares.items())
            )
            found.append(Sweep(dimension=name, points=points, rule=_category_rule(points)))
        return found


def _category_rule(points: Sequence[SweepPoint]) -> str | None:
    if any(0 < point.differing < point.inputs for point in points):
        return None
    yes = [point.label for point in points if point.differing]
    no = [point.label for point in points if not point.differing]
    if not no:
        return "with each: " + ", ".join(yes)
    if not yes:
        return None
    return f"with {', '.join(yes)}; not with {', '.join(no)}"


def _shares(answers: dict[str, Sides], kind: str) -> dict[str, tuple[int, int]]:
    """By label: how many inputs differ, of how many that ran."""
    found: dict[str, list[bool]] = {}
    for name, sides in answers.items():
        group, _, rest = name.partition("/")
        label = rest.rpartition("/")[0]
        if group == kind and (result := differ(sides)) is not None:
            found.setdefault(label, []).append(result)
    return {label: (sum(results), len(results)) for label, results in found.items()}


def _starting(shares: Mapping[str, tuple[int, int]], start: str) -> dict[str, tuple[int, int]]:
    return {label: share for label, share in shares.items() if label.startswith(start)}
