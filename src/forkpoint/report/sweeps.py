"""Sweeps as the page's script draws them: numbers and names only."""

from __future__ import annotations

from dataclasses import dataclass

from forkpoint.model import Comparison, Sweep
from forkpoint.report import words
from forkpoint.report.diagnosis import has_classes, side_names, sweep_sentence

MAX_POINTS = 600
_MAX_LABEL = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepData:
    """Columns of a picture: one entry for each size that was tried.

    ``classes`` holds a row for each side, baseline first, and is empty where none are known.
    """

    dimension: str
    labels: tuple[str, ...]
    inputs: tuple[int, ...]
    differing: tuple[int, ...]
    classes: tuple[tuple[int | None, ...], ...]
    sides: tuple[str, str]


def sweep_data(comparison: Comparison) -> tuple[SweepData, ...]:
    """All sweeps in the order of the page: by origin, then as they were made."""
    sides = side_names(comparison)
    return tuple(_data(sweep, sides) for origin in comparison.origins for sweep in origin.sweeps)


def sweep_summary(sweep: Sweep) -> str:
    """The picture in words, for those who cannot see it."""
    inputs = sum(point.inputs for point in sweep.points)
    differing = sum(point.differing for point in sweep.points)
    dimension = words.shorten(sweep.dimension, words.LONG_NAME)
    return (
        f"Sweep of {dimension}: {differing:,} of {words.counted(inputs, 'input')} differ; "
        f"{sweep_sentence(sweep)}"
    )


def _data(sweep: Sweep, sides: tuple[str, str]) -> SweepData:
    points = sweep.points[:MAX_POINTS]
    known = has_classes(sweep)
    classes = (
        tuple(point.baseline_class for point in points),
        tuple(point.candidate_class for point in points),
    )
    return SweepData(
        dimension=words.shorten(sweep.dimension, 2 * _MAX_LABEL),
        labels=tuple(words.shorten(point.label or str(point.size), _MAX_LABEL) for point in points),
        inputs=tuple(point.inputs for point in points),
        differing=tuple(point.differing for point in points),
        classes=classes if known else (),
        sides=sides,
    )
