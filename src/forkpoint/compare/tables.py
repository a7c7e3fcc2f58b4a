"""The two overviews of a comparison: input shapes, and the map of steps by modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from forkpoint.compare.measure import Measurer
from forkpoint.compare.pairing import Pairing
from forkpoint.model import Fork, HeatCell, HeatMap, Metrics, ShapeRow, Step, Verdict
from forkpoint_worker.schema import KIND_MODULE, MODULE

MAX_STEPS, MAX_MODULES = 400, 300

_IDENTICAL = HeatCell(state="identical")
_ABSENT = HeatCell(state="absent")
_Key = tuple[str, tuple[tuple[int, ...], ...], tuple[str, ...]]


def shape_rows(steps: Iterable[Step]) -> tuple[ShapeRow, ...]:
    """One row for each module, input shapes and dtypes, in the order of their first steps."""
    groups: dict[_Key, list[Step]] = {}
    for step in steps:
        shapes = tuple(value.shape for value in step.inputs)
        dtypes = tuple(value.dtype for value in step.inputs)
        groups.setdefault((step.module, shapes, dtypes), []).append(step)
    return tuple(_shape_row(key, group) for key, group in groups.items())


def _shape_row(key: _Key, steps: Sequence[Step]) -> ShapeRow:
    measured = [o.metrics for step in steps for o in step.outputs if o.metrics is not None]
    ulps = [m.max_ulp for m in measured if m.max_ulp is not None]
    return ShapeRow(
        module=key[0],
        shapes=key[1],
        dtypes=key[2],
        steps=tuple(step.index for step in steps),
        verdicts={str(v): n for v, n in Counter(step.verdict for step in steps).items()},
        fork=_fork_text([step.fork for step in steps if step.fork is not None]),
        max_abs=max((m.max_abs for m in measured), default=None),
        max_ulp=max(ulps, default=None),
    )


def _fork_text(forks: Sequence[Fork]) -> str | None:
    """The first fork that is proven, else an op's: it says more than a module's."""
    fork = min(forks, key=lambda f: (not f.proven, f.kind != "op"), default=None)
    if fork is None:
        return None
    return f"{fork.op} in {fork.module}" if fork.op else fork.module


def heat_map(pairing: Pairing, steps: Sequence[Step], measurer: Measurer) -> HeatMap:
    """Steps by module calls, for the steps that both sides recorded module by module.

    At most `MAX_STEPS` rows (those that are not identical inside go first, then the others, each
    in order) and `MAX_MODULES` columns (outer modules first); what is left out is counted.
    """
    recorded = [s for s in steps if pairing.level(s.index) >= MODULE]
    alike = [s for s in recorded if s.verdict is Verdict.IDENTICAL and s.inner is None]
    same = {s.index for s in alike}
    unlike = [s for s in recorded if s.index not in same]
    chosen = sorted((unlike + alike)[:MAX_STEPS], key=lambda s: s.index)
    rows = {step.index: _cells(pairing, step, measurer) for step in chosen}
    every = tuple(dict.fromkeys(label for row in rows.values() for label in row))
    kept = set(sorted(every, key=_depth)[:MAX_MODULES])
    modules = tuple(label for label in every if label in kept)
    return HeatMap(
        modules=modules,
        steps=tuple(rows),
        cells=tuple(tuple(row.get(m, _ABSENT) for m in modules) for row in rows.values()),
        omitted_steps=len(recorded) - len(chosen),
        omitted_modules=len(every) - len(modules),
    )


def _depth(label: str) -> int:
    return label.count(".")


def _cells(pairing: Pairing, step: Step, measurer: Measurer) -> dict[str, HeatCell]:
    """The state of each module call of a step, by its label, in the order of ends."""
    events = pairing.events(step.index)
    a = pairing.a
    cells: dict[str, HeatCell] = {}
    kinds = a.columns.kind[events.a[events.alignment.pairs[:, 0]]]
    for at in np.flatnonzero(kinds == KIND_MODULE).tolist():
        one, two = events.alignment.pairs[at]
        places = int(events.a[one]), int(events.b[two])
        label = a.label(places[0], step.module)
        cells[label] = _cell(measurer, places) if events.differs[at] else _IDENTICAL
    return cells


def _cell(measurer: Measurer, places: tuple[int, int]) -> HeatCell:
    found: list[Metrics] = [
        output.metrics for output in measurer.outputs(*places) if output.metrics is not None
    ]
    ulps = [m.max_ulp for m in found if m.max_ulp is not None]
    return HeatCell(
        state="differs",
        max_abs=max((m.max_abs for m in found), default=None),
        max_ulp=max(ulps, default=None),
    )
