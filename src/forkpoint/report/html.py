"""One HTML file that holds everything: it works offline and asks the network for nothing.

The page's policy allows the three scripts it carries, by their hashes, and nothing else.
Names reach the page as escaped text or as JSON in a data block, never as script or markup.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import prod
from pathlib import Path

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from forkpoint.errors import StorageFull, UsageError
from forkpoint.model import Comparison, ShapeRow, Step, Verdict
from forkpoint.report import words
from forkpoint.report.heat import heat_data, heat_note, heat_summary
from forkpoint.report.summary import (
    differing,
    fork_groups,
    lead_sentences,
    row_fork,
    sentences,
    verdict_counts,
    verdict_sentence,
)

MAX_SHAPES = 240
MAX_ROWS = 200

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One input shape in the strip of shapes."""

    shape: str
    steps: int
    verdict: str
    fork: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One key figure of the page's head."""

    label: str
    value: str
    detail: str


def write_html(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write the report to ``path`` (about 5 MB) and return it; an old file is replaced whole.

    Raises `StorageFull` where the disk is full, and `UsageError` where no file can be there.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(to_html(comparison), encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be what is wrong
            draft.unlink(missing_ok=True)
        kind = StorageFull if error.errno in _FULL else UsageError
        raise kind(
            f"The report could not be written to {target}: {error.strerror or error}.",
            hint="Name another file with --html FILE, or free some space.",
        ) from error
    return target


def to_html(comparison: Comparison) -> str:
    """The whole page as text."""
    scripts = {
        "plotly": get_plotlyjs(),
        "theme": _asset("theme.js"),
        "report": _asset("report.js"),
    }
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in scripts.values())
    template = _environment().get_template("report.html.j2")
    return template.render(
        c=comparison,
        policy=_POLICY.format(scripts=hashes),
        style=Markup(_asset("report.css")),  # noqa: S704 - our own file
        scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704 - our own
        data=_data_block(comparison),
        verdict=verdict_sentence(comparison),
        lead=lead_sentences(comparison),
        findings=sentences(comparison),
        figures=_figures(comparison),
        chips=_chips(comparison),
        groups=fork_groups(comparison.steps),
        heat_summary=heat_summary(comparison.heat),
        heat_note=heat_note(comparison.heat),
        max_shapes=MAX_SHAPES,
        max_rows=MAX_ROWS,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("forkpoint.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=words.plain,
        operator=words.operator,
        number=words.number,
        count=words.count,
        ulp=words.ulp,
        counted=words.counted,
        ranges=words.ranges,
        percent=words.percent,
        difference=words.difference,
        shape=words.shape,
        shapes=words.shapes,
    )
    environment.globals.update(
        module=words.module, contrast=words.contrast, verdicts=words.VERDICTS
    )
    # every expression of the template goes through `plain`, then through HTML escaping
    environment.finalize = _finalize
    return environment


def _finalize(value: object) -> object:
    return words.plain(value) if type(value) is str else value


def _asset(name: str) -> str:
    return (files("forkpoint.report") / "templates" / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data_block(comparison: Comparison) -> Markup:
    """JSON that cannot end its script element: every ``<`` is written as an escape."""
    encoded = msgspec.json.encode(heat_data(comparison)).decode()
    return Markup(encoded.replace("<", "\\u003c"))  # noqa: S704 - no "<" is left in it


def _figures(comparison: Comparison) -> tuple[Figure, ...]:
    steps, shapes = comparison.steps, comparison.shapes
    differ = len(differing(steps))
    forks = [row for row in shapes if _kind(row) == "differs"]
    found = [
        Figure(
            label="Steps that differ",
            value=f"{differ:,} of {len(steps):,}",
            detail=f"tolerance: {comparison.tolerance.name}",
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
            label="First operator that differs" if group.fork.op else "First module that differs",
            value=words.shorten(words.operator(group.fork.op) if group.fork.op else where, 80),
            detail=f"in {words.shorten(where, 80)}, {words.counted(len(group.steps), 'step')}",
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
        kind=_kind(row),
    )


def _kind(row: ShapeRow) -> str:
    """How a shape is marked: same, differs, or other where numbers are not the matter."""
    if set(row.verdicts) <= {Verdict.IDENTICAL.value}:
        return "same"
    numbers = {Verdict.DIVERGENT.value, Verdict.WITHIN_TOLERANCE.value}
    return "differs" if numbers & set(row.verdicts) else "other"
