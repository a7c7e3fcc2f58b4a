"""Measuring one release after the other, while the next environment is being built."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from forkpoint.bisect.bench import Bench, Ready
from forkpoint.bisect.matrix import Column, axis_name, matrix
from forkpoint.bisect.model import Answer, History, Size, Tried
from forkpoint.bisect.releases import Release
from forkpoint.bisect.results import Place, Results, machine
from forkpoint.bisect.subjects import Subject
from forkpoint.environments import Environment
from forkpoint.errors import EnvironmentFailed, WorkerFailed

Axis = Mapping[str, str]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What to measure: a subject, in these releases, at these axis values (torch settings)."""

    subject: Subject
    releases: tuple[Release, ...]
    axes: tuple[Axis, ...] = ({},)


def run_history(survey: Survey, *, bench: Bench, results: Results, say: Say) -> History:
    """Measure every release, oldest first, and say what changed between neighbours.

    Whatever has been measured on this machine before is read from ``results``. A release that
    cannot be built or run is skipped and said. Raises `EnvironmentFailed` where all of them
    are, and `StorageFull` where the disk is full; what was measured is kept.
    """
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as builders:
        columns = _Run(survey, bench, results, say, builders).columns()
    if not any(column.tried.state == "measured" for column in columns):
        reasons = "; ".join(f"{one.tried.version}: {one.tried.reason}" for one in columns)
        raise EnvironmentFailed(
            f"{survey.subject.title} could not be run in any of the releases. {reasons}",
            hint="Run it in one environment first: forkpoint record --env 'torch==...' SCRIPT.",
        )
    return replace(
        matrix(survey.subject, survey.axes, columns),
        package=bench.package,
        machine=machine(),
        seconds=round(time.monotonic() - began, 1),
        peak_disk=bench.peak,
    )


class Looker:
    """Measures single releases in any order, for a search among them."""

    def __init__(self, survey: Survey, *, bench: Bench, results: Results) -> None:
        self._survey = survey
        self._bench = bench
        self._results = results
        self._places: dict[Release, tuple[Place, ...]] = {}

    def column(self, release: Release) -> Column:
        """Measure a release, or read what is known of it."""
        with ThreadPoolExecutor(max_workers=1) as builders:
            run = self._run(release, builders)
            column = run.column(0)
            self._places[release] = run.places
        return column

    def sized(self, old: tuple[Release, Column], new: tuple[Release, Column]) -> Column:
        """The column of ``new`` with the sizes of its changes since ``old``."""
        release, column = new
        with ThreadPoolExecutor(max_workers=1) as builders:
            run = self._run(release, builders)
            run.places, run.answers = self._places[old[0]], tuple(map(dict, old[1].answers))
            sizes = run.sizes_of(column, self._places[release])
        return replace(column, sizes=sizes)

    def _run(self, release: Release, builders: ThreadPoolExecutor) -> _Run:
        survey = replace(self._survey, releases=(release,))
        return _Run(survey, self._bench, self._results, lambda _: None, builders)


class _Run:
    """One history under way: what is known, what is being built, what came last."""

    def __init__(
        self,
        survey: Survey,
        bench: Bench,
        results: Results,
        say: Say,
        builders: ThreadPoolExecutor,
    ) -> None:
        self.places: tuple[Place, ...] = ()
        self._survey = survey
        self._bench = bench
        self._results = results
        self._say = say
        self._builders = builders
        self._building: dict[int, Future[Ready]] = {}
        self.answers: tuple[dict[str, Answer], ...] = ()
        self._spent: list[float] = []
        self._known = [self._whole(release) for release in survey.releases]
        for at in range(len(self._known) - 1):
            if self._known[at + 1] is None and not _kept(self._known[at]):
                self._known[at] = None  # the next one is measured against its outputs

    def columns(self) -> list[Column]:
        """All releases, in their order; builds that nobody waits for any more are let go."""
        try:
            return [self.column(at) for at in range(len(self._survey.releases))]
        finally:
            for future in self._building.values():
                if not future.cancel() and future.exception() is None:
                    future.result().close()

    def column(self, at: int) -> Column:
        """One release."""
        release, known = self._survey.releases[at], self._known[at]
        if release.obstacle is not None:
            return _skipped(release, release.obstacle)
        if known is not None:
            return self._read(release, known)
        began = time.monotonic()
        self._tell(at)
        try:
            ready = self._obtain(at)
        except EnvironmentFailed as error:
            return _skipped(release, error.message)
        try:
            column = self._measure(release, ready)
        except WorkerFailed as error:
            return _skipped(release, error.message)
        finally:
            ready.close()
        spent = time.monotonic() - began
        self._spent.append(spent)
        other = max(0.0, spent - column.tried.build_seconds - column.tried.run_seconds)
        return replace(column, tried=replace(column.tried, other_seconds=round(other, 1)))

    def sizes_of(self, column: Column, places: tuple[Place, ...]) -> tuple[dict[str, Size], ...]:
        """How far the items of the only release moved since the places set before."""
        known = tuple(new.sizes(old) for old, new in zip(self.places, places, strict=True))
        if all(known) or not all(map(_outputs, (self.places, places))):
            return known
        ready = self._obtain(0)
        try:
            return tuple(
                self._sizes(ready.environment, at, places[at], column.answers[at])
                for at in range(len(places))
            )
        finally:
            ready.close()

    def _whole(self, release: Release) -> tuple[Place, ...] | None:
        """Where all answers of a release are, or None where one is missing."""
        lock = self._results.lock(self._bench.key(release.version))
        if lock is None:
            return None
        places = tuple(self._results.place(lock, axis) for axis in self._survey.axes)
        whole = all(self._survey.subject.complete(place.answers()) for place in places)
        return places if whole else None

    def _read(self, release: Release, places: tuple[Place, ...]) -> Column:
        answers = tuple(place.answers() for place in places)
        before, self.places, self.answers = self.places, places, answers
        sizes = tuple(new.sizes(old) for old, new in zip(before, places, strict=False))
        lock = self._results.lock(self._bench.key(release.version)) or ()
        tried = Tried(version=str(release), state="measured", cached=True, lock=lock)
        return Column(tried=tried, answers=answers, sizes=sizes)

    def _obtain(self, at: int) -> Ready:
        """The environment of a release; the next one begins to be built."""
        ready = self._begin(at).result()
        del self._building[at]
        following = (n for n in range(at + 1, len(self._known)) if self._known[n] is None)
        ahead = next((n for n in following if self._survey.releases[n].obstacle is None), None)
        if ahead is not None:
            self._begin(ahead)
        return ready

    def _begin(self, at: int) -> Future[Ready]:
        if at not in self._building:
            version = self._survey.releases[at].version
            self._building[at] = self._builders.submit(self._bench.build, version)
        return self._building[at]

    def _measure(self, release: Release, ready: Ready) -> Column:
        began = time.monotonic()
        environment = ready.environment
        places = tuple(self._results.place(environment.lock, axis) for axis in self._survey.axes)
        answers = tuple(
            self._one_axis(environment, axis, place)
            for axis, place in zip(self._survey.axes, places, strict=True)
        )
        sizes = tuple(
            self._sizes(environment, at, places[at], answers[at]) for at in range(len(self.places))
        )
        for old, new in zip(self.places, places, strict=False):
            if old.folder != new.folder:
                old.forget_outputs()
        self._results.remember_lock(self._bench.key(release.version), environment.lock)
        self.places, self.answers = places, answers
        tried = Tried(
            version=str(release),
            state="measured",
            build_seconds=round(ready.seconds, 1),
            run_seconds=round(time.monotonic() - began, 1),
            lock=environment.lock,
        )
        return Column(tried=tried, answers=answers, sizes=sizes)

    def _one_axis(self, environment: Environment, axis: Axis, place: Place) -> dict[str, Answer]:
        where = f"{environment.name} {axis_name(axis)}".strip()
        self._say(f"{where}: running {self._survey.subject.title}")
        with tempfile.TemporaryDirectory(prefix="forkpoint-") as control:
            answers = self._survey.subject.measure(_set(environment, axis), place, Path(control))
        place.add(answers)
        return answers

    def _sizes(
        self, environment: Environment, at: int, place: Place, answers: Mapping[str, Answer]
    ) -> dict[str, Size]:
        before = self.answers[at]
        moved = [
            item
            for item, new in answers.items()
            if item in before
            and new.ran
            and before[item].ran
            and before[item].digests != new.digests
        ]
        at_axis = _set(environment, self._survey.axes[at])
        with tempfile.TemporaryDirectory(prefix="forkpoint-") as control:
            pair = (self.places[at], place)
            sizes = self._survey.subject.sizes(at_axis, pair, moved, Path(control))
        place.add_sizes(self.places[at], sizes)
        return sizes

    def _tell(self, at: int) -> None:
        """Where the run is, and how long it may take by what the releases took so far."""
        left = sum(1 for n in range(at, len(self._known)) if self._known[n] is None)
        text = f"{self._survey.releases[at]}: {left} of {len(self._known)} releases to measure"
        if self._spent:
            minutes = left * sum(self._spent) / len(self._spent) / 60
            text += f", about {minutes:.0f} min left if the others take as long"
        self._say(text)


def _set(environment: Environment, axis: Axis) -> Environment:
    """The environment with the torch settings of an axis value."""
    return replace(environment, settings={**environment.settings, **axis})


def _outputs(places: tuple[Place, ...]) -> bool:
    return all(place.kept.is_dir() for place in places)


def _kept(places: tuple[Place, ...] | None) -> bool:
    return places is not None and _outputs(places)


def _skipped(release: Release, reason: str) -> Column:
    tried = Tried(version=str(release), state="skipped", reason=reason)
    return Column(tried=tried, answers=(), sizes=())
