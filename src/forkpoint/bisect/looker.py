"""Looking at single releases in any order, for a search among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from forkpoint.bisect.axes import applied, python_of
from forkpoint.bisect.bench import Bench
from forkpoint.bisect.capsules import Recorded
from forkpoint.bisect.matrix import Column
from forkpoint.bisect.model import Size, Tried
from forkpoint.bisect.releases import Release
from forkpoint.bisect.results import Place, Results
from forkpoint.bisect.survey import Answers, Survey, Walk, measured

FREE, RUN, BUILD = range(3)
"""What a look costs: nothing, a run, or a build and a run."""


class Looker:
    """Measures single releases, or reads what is known of them.

    ``recorded`` are answers of releases that capsules hold. They stand until `distrust`.
    """

    def __init__(
        self,
        survey: Survey,
        *,
        bench: Bench,
        results: Results,
        recorded: Sequence[Recorded] = (),
    ) -> None:
        self.survey = survey
        self.bench = bench
        self._results = results
        self._recorded = {one.version: one for one in recorded}
        self._places: dict[Release, dict[int, Place]] = {}

    def cost(self, release: Release) -> int:
        """What a look at a release costs: `FREE`, `RUN` or `BUILD`."""
        if release.version in self._recorded:
            return FREE
        with ThreadPoolExecutor(max_workers=1) as builders:
            if not self._walk(release, builders).remaining:
                return FREE
        return RUN if self._is_there(release) else BUILD

    def column(self, release: Release) -> Column:
        """Measure a release, or read what is known of it."""
        if release.version in self._recorded:
            return self._take(release, self._recorded[release.version])
        with ThreadPoolExecutor(max_workers=1) as builders:
            walk = self._walk(release, builders)
            column = walk.column(0)
            self._places[release] = walk.places
        return column

    def is_confirmed(self, release: Release) -> bool:
        """Whether a replay gave what the capsules recorded of a release."""
        return self._recorded[release.version].confirmed

    def distrust(self, release: Release) -> None:
        """Do not take what capsules recorded of a release for an answer any more."""
        del self._recorded[release.version]

    def sized(self, old: tuple[Release, Column], new: tuple[Release, Column]) -> Column:
        """The column of ``new`` with the sizes of its changes since ``old``.

        They are measured in whichever of the two environments is there; nothing is built for it.
        """
        release, column = new
        there = [one for one in (release, old[0]) if self._is_there(one)]
        sizes: list[Mapping[str, Size]] = []
        for n in range(len(self.survey.axes)):
            before, after = (self._places[one].get(n) for one in (old[0], release))
            if before is None or after is None:
                sizes.append({})
                continue
            known = after.sizes(before)
            if not known and there and before.kept.is_dir() and after.kept.is_dir():
                answers = old[1].answers[n], column.answers[n]
                known = self._measured(there[0], n, (before, after), answers)
            sizes.append(known)
        return replace(column, sizes=tuple(sizes))

    def _measured(
        self,
        release: Release,
        n: int,
        places: tuple[Place, Place],
        answers: tuple[Answers, Answers],
    ) -> dict[str, Size]:
        axis = self.survey.axes[n]
        ready = self.bench.build(release.version, python_of(axis))
        try:
            environment = applied(ready.environment, axis)
            return measured(self.survey.subject, environment, places, answers)
        finally:
            ready.close()

    def _is_there(self, release: Release) -> bool:
        pythons = self.survey.pythons
        return all(self.bench.has(release.version, python) for python in pythons)

    def _take(self, release: Release, recorded: Recorded) -> Column:
        place = self._results.place(recorded.installed, {})
        self._places[release] = {0: place}
        tried = Tried(version=str(release), state="measured", recorded=True)
        return Column(tried=tried, answers=(recorded.write(place),), sizes=({},))

    def _walk(self, release: Release, builders: ThreadPoolExecutor) -> Walk:
        survey = replace(self.survey, releases=(release,))
        return Walk(survey, self.bench, self._results, lambda _: None, builders)
