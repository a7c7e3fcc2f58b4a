"""The report of a comparison as one HTML file; see `forkpoint.report.page`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path

from plotly.offline import get_plotlyjs

from forkpoint.compare import JUDGED
from forkpoint.model import Comparison, ShapeRow, Step, Verdict
from forkpoint.report import diagnosis, words
from forkpoint.report.forks import differing, fork_groups, fork_label, row_fork, row_note
from forkpoint.report.heat import HeatData, complete_heat, heat_data, heat_note, heat_summary
from forkpoint.report.page import asset, data_block, render_page, write_page
from forkpoint.report.path import TITLE, path_stages
from forkpoint.report.summary import (
    lead_sentences,
    sentences,
    verdict_counts,
    verdict_sentence,
)
from forkpoint.report.sweeps import SweepData, sweep_data, sweep_summary
from forkpoint.report.watched import WATCHED_COLUMNS, watched_rows

MAX_SHAPES = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One input shape in the strip of shapes."""

    shape: str
    steps: int
    verdict: str
    fork: str
    note: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One key figure of the page's head."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageData:
    """What the page's script draws."""

    heat: HeatData
    sweeps: tuple[SweepData, ...]


def write_html(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write the report to ``path`` (about 5 MB) and return it; an old file is replaced whole.

    Raises `StorageFull` where the disk is full, and `UsageError` where no file can be there.
    """
    return write_page(to_html(comparison), path)


def to_html(comparison: Comparison) -> str:
    """The whole page as text."""
    data = PageData(heat=heat_data(comparison), sweeps=sweep_data(comparison))
    return render_page(
        "report.html.j2",
        scripts={"plotly": get_plotlyjs(), "report": asset("page.js", "heat.js", "sweeps.js")},
        c=comparison,
        d=diagnosis,
        data=data_block(data),
        verdict=verdict_sentence(comparison),
        lead=lead_sentences(comparison),
        findings=sentences(comparison),
        figures=_figures(comparison),
        path_title=TITLE,
        stages=path_stages(comparison),
        sweep_summary=sweep_summary,
        chips=_chips(comparison),
        groups=fork_groups(comparison.steps),
        heat_summary=heat_summary(complete_heat(comparison)),
        heat_note=heat_note(comparison.heat),
        max_shapes=MAX_SHAPES,
        watched_columns=WATCHED_COLUMNS,
        watched=watched_rows(comparison.watched),
    )


def _figures(comparison: Comparison) -> tuple[Figure, ...]:
    steps, shapes = comparison.steps, comparison.shapes
    differ = len(differing(steps))
    compared = sum(step.verdict in JUDGED for step in steps)
    left = len(steps) - compared
    forks = [row for row in shapes if _kind(row) == "differs"]
    found = [
        Figure(
            label="Steps that differ",
            value=f"{differ:,} of {compared:,}",
            detail=f"tolerance: {comparison.tolerance.name}"
            + (f"; {words.counted(left, 'step')} more could not be compared" if left else ""),
        ),
        Figure(
            label="Input shapes that differ",
            value=f"{len(forks):,} of {len(shapes):,}",
            detail="each shape may be seen in several steps",
        ),
        _largest_output(steps),
    ]
    groups = fork_groups(steps)
    if groups:
        group = groups[0]
        where = words.module(group.fork.module, group.root)
        fork = Figure(
            label=fork_label(group.fork),
            value=words.shorten(words.operator(group.fork.op) if group.fork.op else where, 80),
            detail=f"in {words.shorten(where, 80)}, {words.counted(len(group.steps), 'step')}"
            + (f"; {words.shorten(group.note, 200)}" if group.note else ""),
        )
        found.insert(0, fork)
    return tuple(found)


def _largest_output(steps: tuple[Step, ...]) -> Figure:
    measured = [o.metrics for s in steps for o in s.outputs if o.metrics]
    label = "Largest difference in an output"
    if not measured:
        same = bool(steps) and all(step.verdict is Verdict.IDENTICAL for step in steps)
        return Figure(label=label, value="none" if same else words.NOT_MEASURED, detail="")
    near = [metrics.p99_ulp for metrics in measured if metrics.p99_ulp is not None]
    return Figure(
        label=label,
        value=words.number(max(metrics.max_abs for metrics in measured)),
        detail=f"99% of values within {words.ulp(max(near))} ULP" if near else "",
    )


def _chips(comparison: Comparison) -> tuple[Chip, ...]:
    """One chip for each shape, ordered by length: by size, then as it is spelled."""
    by_index = {step.index: step for step in comparison.steps}
    rows = sorted(
        comparison.shapes,
        key=lambda row: (row.module, prod(row.shapes[0]) if row.shapes else 0, row.shapes),
    )
    several = len({row.module for row in rows}) > 1
    return tuple(_chip(row, by_index, several=several) for row in rows)


def _chip(row: ShapeRow, by_index: dict[int, Step], *, several: bool) -> Chip:
    fork = row_fork(row, by_index)
    shape = words.shapes(row.shapes)
    return Chip(
        shape=f"{words.shorten(row.module, 40)} {shape}" if several else shape,
        steps=len(row.steps),
        verdict=verdict_counts(row.verdicts),
        fork=words.place(fork, row.module) if fork else "",
        note="" if fork else row_note(row, by_index),
        kind=_kind(row),
    )


def _kind(row: ShapeRow) -> str:
    """How a shape is marked: same, differs, or other where numbers are not the matter."""
    if set(row.verdicts) <= {Verdict.IDENTICAL.value}:
        return "same"
    numbers = {Verdict.DIVERGENT.value, Verdict.WITHIN_TOLERANCE.value}
    return "differs" if numbers & set(row.verdicts) else "other"
