"""Measuring one release after the other, while the next environment is being built."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from forkpoint.bisect.bench import Bench
from forkpoint.bisect.builds import other_builds
from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import History
from forkpoint.bisect.results import Results, machine
from forkpoint.bisect.survey import Say, Survey, Walk
from forkpoint.errors import EnvironmentFailed, StorageFull, stopped


def run_history(survey: Survey, *, bench: Bench, results: Results, say: Say) -> History:
    """Measure every release, oldest first, and say what changed between neighbours.

    Whatever has been measured on this machine before is read from ``results``. A release that
    cannot be built or run is skipped and said. Raises `EnvironmentFailed` where all of them
    are, and `StorageFull` where the disk is full; what was measured is kept.
    """
    began = time.monotonic()
    columns = _columns(survey, bench, results, say)
    if not any(column.tried.state == "measured" for column in columns):
        raise EnvironmentFailed(
            f"{survey.subject.title} could not be run in any of the releases. {_reasons(columns)}",
            hint="Run it in one environment first: forkpoint record --env 'torch==...' SCRIPT.",
        )
    return replace(
        matrix(survey.subject, survey.axes, columns),
        package=bench.package,
        machine=machine(),
        notes=tuple(other_builds(bench.package, [column.tried for column in columns])),
        seconds=round(time.monotonic() - began, 1),
        peak_disk=bench.room.peak,
    )


def _columns(survey: Survey, bench: Bench, results: Results, say: Say) -> list[Column]:
    with ThreadPoolExecutor(max_workers=1) as builders:
        walk = Walk(survey, bench, results, say, builders)
        try:
            return walk.columns()
        except StorageFull as error:
            raise StorageFull(error.message, hint=f"{error.hint} {_kept(survey, walk)}") from error
        except KeyboardInterrupt:
            raise stopped(_kept(survey, walk)) from None


def _kept(survey: Survey, walk: Walk) -> str:
    total = len(survey.releases) * len(survey.pythons)
    return (
        f"{total - walk.remaining} of {total} environments are measured, and kept: the same "
        "command goes on with the one it was on."
    )


def _reasons(columns: list[Column]) -> str:
    """Why each release was skipped, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for column in columns:
        version, reason = column.tried.version, column.tried.reason or "no reason given"
        by_reason.setdefault(reason.replace(version, "..."), []).append(version)
    return " ".join(f"{', '.join(many)}: {why}" for why, many in by_reason.items())
