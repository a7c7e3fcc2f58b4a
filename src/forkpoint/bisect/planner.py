"""Finding one change by bisection: the ends first, then halves of what lies between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from forkpoint.bisect.bench import Bench
from forkpoint.bisect.history import Looker
from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import Bisection, Step
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
    columns: dict[Release, Column] = {}
    steps: list[Step] = []

    def seen(release: Release) -> Column:
        if release not in columns:
            columns[release] = looker.column(release)
        return columns[release]

    good, bad = between[0], between[-1]
    for end in (good, bad):
        if not seen(end).answers:
            raise EnvironmentFailed(
                f"{bench.package} {end} cannot be looked at: {seen(end).tried.reason}",
                hint="Name another release with --good or --bad.",
            )
    reference = _bits(subject, seen(good))
    if _bits(subject, seen(bad)) == reference:
        raise UsageError(
            f"{subject.title} gives the same bits in {bench.package} {good} and {bad}.",
            hint="There is no change to find, or one that was reverted: --all looks at every "
            "release between.",
        )
    steps.append(Step(version=str(good), state="good", cached=seen(good).tried.cached))
    steps.append(Step(version=str(bad), state="bad", cached=seen(bad).tried.cached))

    def decide(release: Release) -> Seen:
        column = seen(release)
        state: Seen = "skipped"
        if column.answers:
            state = "good" if _bits(subject, column) == reference else "bad"
        say(f"{bench.package} {release}: {state}")
        tried = column.tried
        steps.append(
            Step(version=str(release), state=state, reason=tried.reason, cached=tried.cached)
        )
        return state

    found = bisect(between, look=decide, cheap=lambda release: bench.has(release.version))
    old, new = found.last_good, found.first_bad
    pair = [columns[old], looker.sized((old, columns[old]), (new, columns[new]))]
    table = matrix(subject, [{}] * len(pair[0].answers), pair)
    return Bisection(
        package=bench.package,
        subject=subject.title,
        good=str(good),
        bad=str(bad),
        last_good=str(found.last_good),
        first_bad=str(found.first_bad),
        skipped=tuple(map(str, found.skipped)),
        steps=tuple(steps),
        builds=bench.builds,
        changed=table.changes[0].rows if table.changes else (),
        machine=machine(),
        assumption=ASSUMPTION,
        seconds=round(time.monotonic() - began, 1),
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
