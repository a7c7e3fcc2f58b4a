"""Finding one change by bisection: the ends first, then halves of what lies between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from forkpoint.bisect.bench import Bench
from forkpoint.bisect.history import Looker
from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import Bisection, RowChange, Step
from forkpoint.bisect.releases import Release
from forkpoint.bisect.results import machine
from forkpoint.bisect.search import ASSUMPTION, Seen, bisect
from forkpoint.bisect.subjects import Subject
from forkpoint.errors import EnvironmentFailed, UsageError

Bits = tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]


def find_change(
    subject: Subject,
    between: Sequence[Release],
    *,
    looker: Looker,
    bench: Bench,
    say: Callable[[str], None],
) -> Bisection:
    """Bisect ``between``, whose first release is good and whose last one is bad.

    Raises `UsageError` where both ends give the same bits, and `EnvironmentFailed` where an
    end cannot be looked at.
    """
    began = time.monotonic()
    search = _Search(subject, looker, bench, say)
    good, bad = between[0], between[-1]
    search.begin(good, bad)
    found = bisect(between, look=search.look, cheap=lambda release: bench.has(release.version))
    return Bisection(
        package=bench.package,
        subject=subject.title,
        good=str(good),
        bad=str(bad),
        last_good=str(found.last_good),
        first_bad=str(found.first_bad),
        skipped=tuple(map(str, found.skipped)),
        steps=tuple(search.steps),
        builds=bench.builds,
        changed=search.changed(found.last_good, found.first_bad),
        machine=machine(),
        assumption=ASSUMPTION,
        seconds=round(time.monotonic() - began, 1),
    )


class _Search:
    """One bisection under way: what was seen of each release, and what is good."""

    def __init__(
        self, subject: Subject, looker: Looker, bench: Bench, say: Callable[[str], None]
    ) -> None:
        self.steps: list[Step] = []
        self._subject = subject
        self._looker = looker
        self._bench = bench
        self._say = say
        self._columns: dict[Release, Column] = {}
        self._good: Bits = ()

    def begin(self, good: Release, bad: Release) -> None:
        """Look at both ends: they must run, and differ."""
        package = self._bench.package
        for end in (good, bad):
            column = self._columns[end] = self._looker.column(end)
            if not column.answers:
                raise EnvironmentFailed(
                    f"{package} {end} cannot be looked at: {column.tried.reason}",
                    hint="Name another release with --good or --bad.",
                )
        self._good = _bits(self._subject, self._columns[good])
        if _bits(self._subject, self._columns[bad]) == self._good:
            raise UsageError(
                f"{self._subject.title} gives the same bits in {package} {good} and {bad}.",
                hint="There is no change to find, or one that was reverted: --all looks at every "
                "release between.",
            )
        self._note(good, "good")
        self._note(bad, "bad")

    def look(self, release: Release) -> Seen:
        """Whether a release between the ends has the bits of the good one."""
        column = self._columns[release] = self._looker.column(release)
        state: Seen = "skipped"
        if column.answers:
            state = "good" if _bits(self._subject, column) == self._good else "bad"
        self._say(f"{self._bench.package} {release}: {state}")
        self._note(release, state)
        return state

    def changed(self, old: Release, new: Release) -> tuple[RowChange, ...]:
        """The rows that changed between two releases that were looked at, with sizes."""
        before, after = self._columns[old], self._columns[new]
        pair = [before, self._looker.sized((old, before), (new, after))]
        table = matrix(self._subject, [{}] * len(before.answers), pair)
        return table.changes[0].rows if table.changes else ()

    def _note(self, release: Release, state: Seen) -> None:
        tried = self._columns[release].tried
        self.steps.append(
            Step(version=str(release), state=state, reason=tried.reason, cached=tried.cached)
        )


def _bits(subject: Subject, column: Column) -> Bits:
    """All that a release answered; a call that did not run is part of it."""
    return tuple(
        tuple(
            sorted(
                (item, one.digests)
                for item, one in answers.items()
                if subject.row(item) is not None
            )
        )
        for answers in column.answers
    )
