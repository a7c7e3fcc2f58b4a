"""Why a script changed between two releases: it is compared in both, and the result diagnosed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import Version

from forkpoint.api._compare import run_comparison
from forkpoint.api._options import Observer, Options
from forkpoint.bisect import (
    Axis,
    Bench,
    Change,
    Diagnosis,
    History,
    Installed,
    Place,
    Results,
    Script,
    applied,
    at_run_time,
    axis_name,
    python_of,
)
from forkpoint.environments import Environment
from forkpoint.errors import EnvironmentFailed, ForkpointError, StorageFull, WorkerFailed

_EXPERIMENTS = ("oracle",)


@dataclass(frozen=True, slots=True)
class Why:
    """Diagnoses the changes of one script, one pair of releases after the other."""

    script: Script
    bench: Bench
    results: Results
    axes: tuple[Axis, ...]
    observer: Observer

    def of_changes(self, history: History) -> tuple[Change, ...]:
        """All changes between neighbours, diagnosed."""
        changes = list(history.changes)
        # the newest first: its environments were used last, so they are still there
        for at in reversed(range(len(changes))):
            one = changes[at]
            axes = {row.axis for row in one.rows if row.since is None}
            changes[at] = replace(one, diagnoses=self.of_pair((one.before, one.after), axes))
        return tuple(changes)

    def of_pair(self, pair: tuple[str, str], axes: Collection[str]) -> tuple[Diagnosis, ...]:
        """Why the script changed between two releases, for each of these axis values."""
        chosen = [axis for axis in self.axes if axis_name(axis) in axes]
        return tuple(self._one(pair, axis) for axis in chosen)

    def _one(self, pair: tuple[str, str], axis: Axis) -> Diagnosis:
        try:
            with self._both(pair, axis) as (before, after):
                return self._known_or_made(before, after, axis)
        except StorageFull:
            raise
        except (EnvironmentFailed, WorkerFailed) as error:
            return Diagnosis(axis=axis_name(axis), failure=error.message)

    def _known_or_made(self, before: Environment, after: Environment, axis: Axis) -> Diagnosis:
        places = self._place(before, axis), self._place(after, axis)
        known = places[1].diagnosis(places[0], self.script.name)
        if known is not None:
            return known if Path(known.folder).is_dir() else replace(known, folder="")
        self.observer.note(f"{before.name} and {after.name}: searching for what changed")
        found = self._compared(before, after, axis)
        if found.failure is None:
            places[1].add_diagnosis(places[0], self.script.name, found)
        return found

    def _compared(self, before: Environment, after: Environment, axis: Axis) -> Diagnosis:
        options = Options(
            tolerance="bitwise", experiments=_EXPERIMENTS, timeout=self.script.timeout
        )
        finished = run_comparison(
            self.script.workload, [before, after], options=options, observer=self.observer
        )
        comparison = finished.comparison
        return Diagnosis(
            axis=axis_name(axis),
            explanation=comparison.explanation or comparison.reasons,
            origins=comparison.origins,
            folder=str(finished.folder),
            failure=_told(finished.failures),
        )

    @contextmanager
    def _both(self, pair: tuple[str, str], axis: Axis) -> Iterator[tuple[Environment, Environment]]:
        ready = []
        try:
            for version in pair:
                ready.append(self.bench.build(Version(version), python_of(axis)))
            before, after = (applied(one.environment, axis) for one in ready)
            yield before, after
        finally:
            for one in ready:
                one.close()

    def _place(self, environment: Environment, axis: Axis) -> Place:
        return self.results.place(Installed.of(environment), at_run_time(axis))


def _told(failures: tuple[ForkpointError, ...]) -> str | None:
    return "; ".join(failure.message for failure in failures) or None
