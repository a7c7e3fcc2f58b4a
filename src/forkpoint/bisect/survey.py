"""What is to be measured, and one walk through it: what is known, built, and came last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from packaging.version import Version

from forkpoint.bisect.axes import Axis, applied, at_run_time, axis_name, python_of
from forkpoint.bisect.bench import Bench, Ready
from forkpoint.bisect.matrix import Column
from forkpoint.bisect.model import Answer, Size, Tried
from forkpoint.bisect.releases import Release
from forkpoint.bisect.results import Installed, Place, Results
from forkpoint.bisect.subjects import Subject
from forkpoint.claims import scratch_folder
from forkpoint.environments import Environment
from forkpoint.errors import EnvironmentFailed, WorkerFailed

Say = Callable[[str], None]
Answers = Mapping[str, Answer]
Sizes = Mapping[str, Size]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What to measure: a subject, in these releases, at these axis values.

    ``obstacles`` says for another Python than the usual one why a release cannot be installed.
    """

    subject: Subject
    releases: tuple[Release, ...]
    axes: tuple[Axis, ...] = ({},)
    obstacles: Mapping[str, Mapping[Version, str]] = field(default_factory=dict)

    @property
    def pythons(self) -> tuple[str | None, ...]:
        """The Pythons of all axis values: one environment each."""
        return tuple(dict.fromkeys(python_of(axis) for axis in self.axes))

    def at(self, python: str | None) -> list[int]:
        """Which axis values are measured with this Python."""
        return [at for at, axis in enumerate(self.axes) if python_of(axis) == python]

    def obstacle(self, release: Release, python: str | None) -> str | None:
        """Why a release cannot be installed, or None where nothing is known to forbid it."""
        if python is None:
            return release.obstacle
        return self.obstacles.get(python, {}).get(release.version)


_Unit = tuple[int, str | None]
"""One environment to build: the number of a release, and a Python."""


@dataclass(slots=True)
class _Part:
    """What one environment gave: answers and sizes by axis value, or why there are none."""

    answers: dict[int, Answers] = field(default_factory=dict)
    sizes: dict[int, Sizes] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    cached: bool = False
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    whole_seconds: float = 0.0
    lock: tuple[str, ...] = ()


class Walk:
    """One way through the releases of a survey.

    The next environment is built while the subject runs in the one before it. ``places`` and
    ``answers`` are those of the last release that ran, by axis value.
    """

    def __init__(
        self,
        survey: Survey,
        bench: Bench,
        results: Results,
        say: Say,
        builders: ThreadPoolExecutor,
    ) -> None:
        self.places: dict[int, Place] = {}
        self.answers: dict[int, Answers] = {}
        self._survey = survey
        self._bench = bench
        self._results = results
        self._say = say
        self._builders = builders
        self._building: dict[_Unit, Future[Ready]] = {}
        self._spent: list[float] = []
        self._units = [
            (at, python) for at in range(len(survey.releases)) for python in survey.pythons
        ]
        self._known = {unit: self._whole(unit) for unit in self._units}
        if survey.subject.keeps:
            self._measure_again()

    def columns(self) -> list[Column]:
        """All releases, in their order; builds that nobody waits for any more are let go."""
        try:
            return [self.column(at) for at in range(len(self._survey.releases))]
        finally:
            for future in self._building.values():
                if not future.cancel() and future.exception() is None:
                    future.result().close()

    def column(self, at: int) -> Column:
        """One release, in each of the Pythons."""
        release = self._survey.releases[at]
        parts = {python: self._part((at, python)) for python in self._survey.pythons}
        every = range(len(self._survey.axes))
        answers = {n: one for part in parts.values() for n, one in part.answers.items()}
        sizes = {n: one for part in parts.values() for n, one in part.sizes.items()}
        failures = {n: why for part in parts.values() for n, why in part.failures.items()}
        tried = self._tried(release, parts, failures)
        if not answers:
            why = "; ".join(dict.fromkeys(failures.values()))
            return Column(tried=replace(tried, state="skipped", reason=why), answers=(), sizes=())
        return Column(
            tried=tried,
            answers=tuple(answers.get(n, {}) for n in every),
            sizes=tuple(sizes.get(n, {}) for n in every),
        )

    @property
    def remaining(self) -> int:
        """How many environments are still to be measured."""
        return sum(1 for known in self._known.values() if known is None)

    def _tried(
        self, release: Release, parts: Mapping[str | None, _Part], failures: Mapping[int, str]
    ) -> Tried:
        many = list(parts.values())
        locks = {python: part.lock for python, part in parts.items() if python and part.lock}
        build, run = (sum(getattr(one, f"{n}_seconds") for one in many) for n in ("build", "run"))
        whole = sum(one.whole_seconds for one in many)
        return Tried(
            version=str(release),
            state="measured",
            cached=all(one.cached for one in many),
            build_seconds=round(build, 1),
            run_seconds=round(run, 1),
            other_seconds=round(max(0.0, whole - build - run), 1),
            lock=next((one.lock for one in many if one.lock), ()),
            locks=locks,
            failures={axis_name(self._survey.axes[n]): why for n, why in failures.items()},
        )

    def _part(self, unit: _Unit) -> _Part:
        release, known = self._survey.releases[unit[0]], self._known[unit]
        axes = self._survey.at(unit[1])
        obstacle = self._survey.obstacle(release, unit[1])
        if obstacle is not None:
            return _Part(failures=dict.fromkeys(axes, obstacle))
        if known is not None:
            return self._read(unit, known)
        began = time.monotonic()
        self._tell(unit)
        try:
            ready = self._obtain(unit)
        except EnvironmentFailed as error:
            self._known[unit] = {}
            return _Part(failures=dict.fromkeys(axes, error.message))
        try:
            part = self._measure(unit, ready)
        finally:
            ready.close()
        self._known[unit] = {}
        part.whole_seconds = time.monotonic() - began
        self._spent.append(part.whole_seconds)
        return part

    def _whole(self, unit: _Unit) -> dict[int, Place] | None:
        """Where all answers of a release are, or None where one is missing."""
        release, python = self._survey.releases[unit[0]], unit[1]
        if self._survey.obstacle(release, python) is not None:
            return {}
        installed = self._results.installed(self._bench.key(release.version, python))
        if installed is None:
            return None
        places = self._places(installed, python)
        complete = self._survey.subject.complete
        return places if all(complete(one.answers()) for one in places.values()) else None

    def _places(self, installed: Installed, python: str | None) -> dict[int, Place]:
        axes = self._survey.axes
        return {
            n: self._results.place(installed, at_run_time(axes[n])) for n in self._survey.at(python)
        }

    def _measure_again(self) -> None:
        """Forget what is known where the next release will want to be measured against it."""
        for (at, python), known in list(self._known.items()):
            following = (at + 1, python)
            if following not in self._known or self._known[following] is not None:
                continue
            if known and not all(place.kept.is_dir() for place in known.values()):
                self._known[at, python] = None

    def _read(self, unit: _Unit, places: dict[int, Place]) -> _Part:
        version = self._survey.releases[unit[0]].version
        installed = self._results.installed(self._bench.key(version, unit[1]))
        part = _Part(cached=True, lock=installed.lock if installed else ())
        for n, place in places.items():
            before = self.places.get(n)
            part.answers[n] = place.answers()
            part.sizes[n] = place.sizes(before) if before else {}
            self.places[n], self.answers[n] = place, part.answers[n]
        return part

    def _obtain(self, unit: _Unit) -> Ready:
        """An environment; the next one begins to be built."""
        ready = self._begin(unit).result()
        del self._building[unit]
        after = self._units[self._units.index(unit) + 1 :]
        following = next((one for one in after if self._known[one] is None), None)
        if following is not None:
            self._begin(following)
        return ready

    def _begin(self, unit: _Unit) -> Future[Ready]:
        if unit not in self._building:
            version = self._survey.releases[unit[0]].version
            self._building[unit] = self._builders.submit(self._bench.build, version, unit[1])
        return self._building[unit]

    def _measure(self, unit: _Unit, ready: Ready) -> _Part:
        began = time.monotonic()
        part = _Part(build_seconds=ready.seconds, lock=ready.environment.lock)
        for n, place in self._places(ready.installed, unit[1]).items():
            environment = applied(ready.environment, self._survey.axes[n])
            try:
                answers = self._run(environment, n, place)
                part.sizes[n] = self._sizes(environment, n, place, answers)
            except WorkerFailed as error:
                part.failures[n] = error.message
                continue
            before = self.places.get(n)
            if before is not None and before.folder != place.folder:
                before.forget_outputs()
            self.places[n], self.answers[n], part.answers[n] = place, answers, answers
        version = self._survey.releases[unit[0]].version
        self._results.remember(self._bench.key(version, unit[1]), ready.installed)
        part.run_seconds = time.monotonic() - began
        return part

    def _run(self, environment: Environment, n: int, place: Place) -> dict[str, Answer]:
        subject = self._survey.subject
        where = f"{environment.name} {axis_name(self._survey.axes[n])}".strip()
        self._say(f"{where}: running {subject.title}")
        with scratch_folder() as control:
            answers = subject.measure(environment, place, control)
        place.add(answers)
        return answers

    def _sizes(self, environment: Environment, n: int, place: Place, answers: Answers) -> Sizes:
        before = self.places.get(n)
        if before is None:
            return {}
        return measured(
            self._survey.subject, environment, (before, place), (self.answers[n], answers)
        )

    def _tell(self, unit: _Unit) -> None:
        """Where the walk is, and how long it may take by what the environments took so far."""
        left = self.remaining
        python = f" with Python {unit[1]}" if unit[1] else ""
        text = f"{self._survey.releases[unit[0]]}{python}: {left} of {len(self._known)} to measure"
        if self._spent:
            minutes = round(left * sum(self._spent) / len(self._spent) / 60)
            time_left = f"about {minutes} min" if minutes else "less than a minute"
            text += f", {time_left} left if the others take as long"
        self._say(text)


def measured(
    subject: Subject,
    environment: Environment,
    places: tuple[Place, Place],
    answers: tuple[Answers, Answers],
) -> dict[str, Size]:
    """How far items moved between two places, and keep it; the environment is one of the two."""
    before, after = answers
    moved = [
        item
        for item, new in after.items()
        if item in before and new.ran and before[item].ran and before[item].digests != new.digests
    ]
    with scratch_folder() as control:
        sizes = subject.sizes(environment, places, moved, control)
    places[1].add_sizes(places[0], sizes)
    return sizes
