"""Finding one change by bisection: minor releases first, then the patches between two of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from forkpoint.bisect.builds import other_builds
from forkpoint.bisect.looker import BUILD, Looker
from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import Bisection, Change, Step
from forkpoint.bisect.releases import Release, newest_patches
from forkpoint.bisect.results import machine
from forkpoint.bisect.search import ASSUMPTION, Found, Seen, bisect
from forkpoint.errors import EnvironmentFailed, ForkpointError, StorageFull, UsageError, stopped

Bits = tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]


def find_change(
    between: Sequence[Release], *, looker: Looker, say: Callable[[str], None]
) -> Bisection:
    """Bisect ``between``, whose first release is good and whose last one is bad.

    The good end is looked at first: to be good is to have its bits. The bad end costs a build,
    too, and a change is proven by two neighbours, so it is looked at only where it costs none, or
    where nothing before it is bad. Raises `UsageError` where both ends give the same bits, and
    `EnvironmentFailed` where an end that is needed cannot be looked at.
    """
    began = time.monotonic()
    search = _Search(between, looker, say)
    try:
        found = search.find()
    except (EnvironmentFailed, StorageFull, UsageError) as error:
        raise search.with_what_is_known(error) from error
    except KeyboardInterrupt:
        raise stopped(f"{search.known()} The same command goes on from there.".strip()) from None
    change = search.change(found.last_good, found.first_bad)
    return Bisection(
        package=looker.bench.package,
        subject=looker.survey.subject.title,
        good=str(between[0]),
        bad=str(between[-1]),
        last_good=str(found.last_good),
        first_bad=str(found.first_bad),
        skipped=tuple(map(str, found.skipped)),
        steps=tuple(search.steps.values()),
        builds=looker.bench.builds,
        changed=change.rows,
        appeared=change.appeared,
        vanished=change.vanished,
        machine=machine(),
        assumption=ASSUMPTION,
        notes=search.notes(found.last_good, found.first_bad),
        seconds=round(time.monotonic() - began, 1),
    )


class _Search:
    """One bisection under way: what was seen of each release, and what is good."""

    def __init__(
        self, between: Sequence[Release], looker: Looker, say: Callable[[str], None]
    ) -> None:
        self.steps: dict[Release, Step] = {}
        self._between = between
        self._looker = looker
        self._subject = looker.survey.subject
        self._package = looker.bench.package
        self._say = say
        self._columns: dict[Release, Column] = {}

    def find(self) -> Found[Release]:
        """Search, and search again where what a capsule recorded turns out not to be so here."""
        while True:
            found = self._once()
            doubted = [
                one for one in (found.last_good, found.first_bad) if not self._is_confirmed(one)
            ]
            if not doubted:
                return found
            self._measure_recorded(doubted[0])

    def change(self, old: Release, new: Release) -> Change:
        """What changed between two releases that were looked at, with sizes."""
        before, after = self._columns[old], self._columns[new]
        pair = [before, self._looker.sized((old, before), (new, after))]
        return matrix(self._subject, self._looker.survey.axes, pair).changes[0]

    def notes(self, last_good: Release, first_bad: Release) -> tuple[str, ...]:
        """What the answer rests on, besides what was run."""
        pair = [self._columns[one].tried for one in (last_good, first_bad)]
        found = list(other_builds(self._package, pair))
        bad = self._between[-1]
        if bad not in self._columns:
            found.append(
                f"{self._package} {bad} was not looked at: the change lies before it, and two "
                "neighbours prove it."
            )
        for release, step in self.steps.items():
            if step.source == "recorded":
                found.append(
                    f"{self._package} {release} was not run: a capsule holds the bits that it "
                    "gave on this machine."
                )
        return tuple(found)

    def with_what_is_known(self, error: ForkpointError) -> ForkpointError:
        """The same error, with the releases that were looked at before it."""
        return type(error)(error.message, hint=f"{error.hint} {self.known()}".strip())

    def known(self) -> str:
        """A sentence on what was looked at; nothing where there is none."""
        seen = ", ".join(f"{one.version} {one.state}" for one in self.steps.values())
        return f"Looked at so far, and kept: {seen}." if seen else ""

    def _once(self) -> Found[Release]:
        self.steps.clear()
        good, bad = self._between[0], self._between[-1]
        self._require(good)
        self._note(good, "good")
        if bad in self._columns or self._looker.cost(bad) < BUILD:
            self._look_at_bad(bad)
        coarse = newest_patches(self._between)
        found = bisect(coarse, look=self._look, cost=self._cost)
        first, last = (self._between.index(one) for one in (found.last_good, found.first_bad))
        found = bisect(self._between[first : last + 1], look=self._look, cost=self._cost)
        if found.first_bad == bad:
            self._look_at_bad(bad)
        return found

    def _require(self, end: Release) -> None:
        """Look at an end: it must run."""
        column = self._column(end)
        if not column.answers:
            raise EnvironmentFailed(
                f"{self._package} {end} cannot be looked at: {column.tried.reason}",
                hint="Name another release with --good or --bad, or correct what is run.",
            )

    def _look_at_bad(self, bad: Release) -> None:
        self._require(bad)
        self._note(bad, self._state(bad))
        if self._state(bad) == "good":
            good = self._between[0]
            raise UsageError(
                f"{self._subject.title} gives the same bits in {self._package} {good} and {bad}.",
                hint="There is no change to find, or one that was reverted: --all looks at every "
                "release between.",
            )

    def _look(self, release: Release) -> Seen:
        """Whether a release between the ends has the bits of the good one."""
        self._column(release)
        state = self._state(release)
        self._note(release, state)
        return state

    def _cost(self, release: Release) -> int:
        return -1 if release in self._columns else self._looker.cost(release)

    def _column(self, release: Release) -> Column:
        if release not in self._columns:
            self._say(f"looking at {self._package} {release}")
            self._columns[release] = self._looker.column(release)
        return self._columns[release]

    def _state(self, release: Release) -> Seen:
        column = self._columns[release]
        if not column.answers:
            return "skipped"
        return "good" if self._bits(release) == self._bits(self._between[0]) else "bad"

    def _is_confirmed(self, release: Release) -> bool:
        """Whether the bits of a release were given by a replay, perhaps that of another release.

        A capsule may hold bits that its call gives in its script only, and not alone: where no
        replay at all is known to have given them, the release is run after all.
        """
        if not self._columns[release].tried.recorded or self._looker.is_confirmed(release):
            return True
        return any(
            column.answers and not column.tried.recorded and self._bits(one) == self._bits(release)
            for one, column in self._columns.items()
        )

    def _measure_recorded(self, release: Release) -> None:
        self._looker.distrust(release)
        del self._columns[release]
        self.steps.pop(release, None)

    def _note(self, release: Release, state: Seen) -> None:
        tried = self._columns[release].tried
        self.steps[release] = Step(
            version=str(release),
            state=state,
            reason=tried.reason,
            source="recorded" if tried.recorded else "known" if tried.cached else "run",
        )

    def _bits(self, release: Release) -> Bits:
        """All that a release answered; a call that did not run is part of it."""
        row = self._subject.row
        return tuple(
            tuple(sorted((item, one.digests) for item, one in answers.items() if row(item)))
            for answers in self._columns[release].answers
        )
