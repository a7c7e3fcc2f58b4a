"""The heat map as the page's script reads it: compact, capped, numbers and names only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from forkpoint.model import Comparison, HeatCell, HeatMap, Step
from forkpoint.report import words

MAX_STEPS = 2000
MAX_MODULES = 300
MAX_NAME = 300

IDENTICAL, MEASURED, UNMEASURED, ABSENT = "imda"
"""One letter for each cell; the page's script knows the same letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatData:
    """Columns of the map: ``states[i]`` has one letter a module for step ``steps[i]``.

    ``max_abs`` and ``max_ulp`` hold the measured cells only, in the order in which they come.
    ``forks`` has the row of each step's fork, or null where that is not on the map.
    """

    modules: tuple[str, ...]
    steps: tuple[int, ...]
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    max_abs: tuple[float, ...]
    max_ulp: tuple[int | None, ...]
    forks: tuple[int | None, ...]


def heat_data(comparison: Comparison) -> HeatData:
    """The first `MAX_STEPS` steps and `MAX_MODULES` modules of the map."""
    heat = complete_heat(comparison)
    rows = [row[:MAX_MODULES] for row in heat.cells[:MAX_STEPS]]
    measured = [cell for row in rows for cell in row if letter(cell) == MEASURED]
    by_index = {step.index: step for step in comparison.steps}
    shown = heat.steps[:MAX_STEPS]
    row_of = {name: i for i, name in enumerate(heat.modules[:MAX_MODULES])}
    return HeatData(
        modules=tuple(_name(name, comparison) for name in heat.modules[:MAX_MODULES]),
        steps=shown,
        inputs=tuple(words.step_shapes(by_index[i]) if i in by_index else "" for i in shown),
        states=tuple("".join(letter(cell) for cell in row) for row in rows),
        max_abs=tuple(cell.max_abs for cell in measured if cell.max_abs is not None),
        max_ulp=tuple(cell.max_ulp for cell in measured),
        forks=tuple(_fork_row(by_index.get(i), row_of) for i in shown),
    )


def complete_heat(comparison: Comparison) -> HeatMap:
    """The map with what is known of whole steps.

    A step that was left bare for the neutrality check has no measured modules, but its own
    output may be measured, and that is what its outermost module returned.
    """
    heat = comparison.heat
    by_index = {step.index: step for step in comparison.steps}
    rows = (
        _with_output(row, heat.modules, by_index.get(index))
        for index, row in zip(heat.steps, heat.cells, strict=True)
    )
    return replace(heat, cells=tuple(rows))


def letter(cell: HeatCell) -> str:
    """The state of a cell in one letter."""
    if cell.state == "identical":
        return IDENTICAL
    if cell.state == "absent":
        return ABSENT
    return UNMEASURED if cell.max_abs is None else MEASURED


def heat_summary(heat: HeatMap) -> str:
    """The whole map in words, for those who cannot see it."""
    cells = [cell for row in heat.cells for cell in row]
    letters = [letter(cell) for cell in cells]
    differ = letters.count(MEASURED) + letters.count(UNMEASURED)
    text = (
        f"{words.counted(len(heat.modules), 'module')} in "
        f"{words.counted(len(heat.steps), 'step')}: {words.counted(differ, 'call')} returned "
        f"other bits, {letters.count(IDENTICAL):,} identical ones"
    )
    if letters.count(UNMEASURED):
        text += f"; the size of {letters.count(UNMEASURED):,} differences was not measured"
    return text + _largest(heat) + "."


def heat_note(heat: HeatMap) -> str:
    """What the map leaves out, or an empty text."""
    steps = heat.omitted_steps + max(0, len(heat.steps) - MAX_STEPS)
    modules = heat.omitted_modules + max(0, len(heat.modules) - MAX_MODULES)
    left = [
        words.counted(many, noun) for many, noun in ((steps, "step"), (modules, "module")) if many
    ]
    return f"Not drawn: {' and '.join(left)}, to keep this page light." if left else ""


def _with_output(
    row: tuple[HeatCell, ...], modules: tuple[str, ...], step: Step | None
) -> tuple[HeatCell, ...]:
    measured = [output.metrics for output in step.outputs if output.metrics] if step else []
    if step is None or not measured:
        return row
    own = HeatCell(
        state="differs",
        max_abs=max(metrics.max_abs for metrics in measured),
        max_ulp=max((m.max_ulp for m in measured if m.max_ulp is not None), default=None),
    )
    outermost = {"", step.module}
    return tuple(
        own if name in outermost and letter(cell) == UNMEASURED else cell
        for name, cell in zip(modules, row, strict=True)
    )


def _fork_row(step: Step | None, row_of: dict[str, int]) -> int | None:
    return row_of.get(step.fork.module) if step and step.fork else None


def _largest(heat: HeatMap) -> str:
    found = max(_measured(heat), default=None)
    if found is None:
        return ""
    size, i, j = found
    where = words.shorten(words.module(heat.modules[-j], ""), words.LONG_NAME)
    return f"; the largest difference is {words.number(size)}, in {where}, step {heat.steps[-i]}"


def _measured(heat: HeatMap) -> Iterable[tuple[float, int, int]]:
    """Measured cells as (size, step, module), counted from the end: the first of equals wins."""
    for i, row in enumerate(heat.cells):
        for j, cell in enumerate(row):
            if cell.max_abs is not None:
                yield cell.max_abs, len(heat.steps) - i, len(heat.modules) - j


def _name(path: str, comparison: Comparison) -> str:
    roots = {step.module for step in comparison.steps}
    root = next(iter(roots)) if len(roots) == 1 else ""
    return words.shorten(words.module(path, root), MAX_NAME)
