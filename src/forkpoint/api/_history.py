"""`history` and `bisect`: which release changed a result."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from forkpoint.api._options import Observer
from forkpoint.bisect import (
    Bench,
    Bisection,
    History,
    Looker,
    Release,
    Results,
    Subject,
    Survey,
    find_change,
    list_releases,
    parse_constraint,
    run_history,
    select,
)
from forkpoint.environments import EnvironmentCache, parse_spec
from forkpoint.errors import UsageError

PYTHON = "3.11"
"""The one Python for which every torch release from 2.0 on has wheels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which releases, and what to install with them.

    ``releases`` is a requirement (``torch>=2.0,<2.16``) whose name is the package under study.
    ``also`` are requirements for every environment, ``constraints`` those for some releases
    (``torch<2.3: numpy<2``). ``axes`` are values of one torch setting: ``{"threads": ["1", "2"]}``.
    ``max_cache`` is the limit for environments and uv's cache together, in bytes; ``cache`` is
    the folder for both, the usual one where None.
    """

    releases: str
    newest_patch: bool = False
    prereleases: bool = False
    yanked: bool = False
    python: str = PYTHON
    also: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    axes: tuple[Mapping[str, str], ...] = ({},)
    max_cache: int | None = None
    cache: Path | None = None
    torch_backend: str = "auto"
    refresh: bool = False


def history(subject: Subject, over: Range, *, observer: Observer | None = None) -> History:
    """Run a subject in every release of a range, and say what changed between neighbours.

    Results are kept in forkpoint's cache folder, and used again. Raises `UsageError` where the
    range holds no release, `EnvironmentFailed` where an index is out of reach or nothing runs.
    """
    observer = observer or Observer()
    package, specifier = _requirement(over.releases)
    found = list_releases(package, python=_python(over.python))
    chosen = select(
        found,
        specifier,
        newest_patch=over.newest_patch,
        prereleases=over.prereleases,
        yanked=over.yanked,
    )
    if not chosen:
        raise UsageError(
            f"No release of {package} is in {over.releases!r}.",
            hint=f"The index has {found[0]} to {found[-1]}.",
        )
    bench, results = _bench(package, over, observer)
    survey = Survey(subject=subject, releases=chosen, axes=over.axes)
    return run_history(survey, bench=bench, results=results, say=observer.note)


def bisect(
    subject: Subject, good: str, bad: str, over: Range, *, observer: Observer | None = None
) -> Bisection:
    """Find the release between two at which the bits of a subject change.

    ``good`` and ``bad`` are versions of the package that ``over.releases`` names. Raises
    `UsageError` where they are the wrong way around, one release, or give the same bits, and
    `EnvironmentFailed` where one of the two cannot be looked at.
    """
    observer = observer or Observer()
    package, _ = _requirement(over.releases)
    between = _between(package, good, bad, over)
    bench, results = _bench(package, over, observer)
    survey = Survey(subject=subject, releases=(), axes=over.axes)
    looker = Looker(survey, bench=bench, results=results)
    return find_change(subject, between, looker=looker, bench=bench, say=observer.note)


def _between(package: str, good: str, bad: str, over: Range) -> tuple[Release, ...]:
    first, last = _version(good, "--good"), _version(bad, "--bad")
    if first == last:
        raise UsageError(
            f"--good and --bad are both {package} {first}.",
            hint="Name two releases: --good 'torch==2.9.1' --bad 'torch==2.10.0'.",
        )
    if first > last:
        raise UsageError(
            f"--good ({first}) is newer than --bad ({last}).",
            hint=f"Swap them: --good '{package}=={last}' --bad '{package}=={first}'. "
            "The change is found all the same; which side you like is up to you.",
        )
    found = list_releases(package, python=_python(over.python))
    for version in (first, last):
        if not any(release.version == version for release in found):
            raise UsageError(
                f"The index has no {package} {version}.",
                hint="It has " + ", ".join(map(str, found[-8:])) + " and older ones.",
            )
    ends = {first, last}
    chosen = select(found, f">={first},<={last}", newest_patch=over.newest_patch)
    known = {release.version for release in chosen}
    more = tuple(one for one in found if one.version in ends and one.version not in known)
    return tuple(sorted((*chosen, *more), key=lambda one: one.version))


def _bench(package: str, over: Range, observer: Observer) -> tuple[Bench, Results]:
    tokens = " ".join(f'"{one}"' for one in over.also)
    base = parse_spec(f"base={tokens} python={over.python}")
    with EnvironmentCache(over.cache) as cache:
        root = cache.root
    results = Results(root / "results")
    if over.refresh:
        shutil.rmtree(results.root / "locks", ignore_errors=True)
    bench = Bench(
        package=package,
        base=base,
        root=root,
        max_bytes=over.max_cache,
        constraints=tuple(map(parse_constraint, over.constraints)),
        torch_backend=over.torch_backend,
        say=observer.building,
    )
    return bench, results


def _requirement(text: str) -> tuple[str, str]:
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise UsageError(
            f"{text!r} does not say which releases of which package.",
            hint="Write for example --releases 'torch>=2.0,<2.16'.",
        ) from None
    return found.name, str(found.specifier)


def _version(text: str, option: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(
            f"{option} {text!r} names no release.",
            hint=f"Write {option} 'torch==2.9.1'.",
        ) from None


def _python(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    minor = minor.partition(".")[0]
    if major.isdigit() and minor.isdigit():
        return int(major), int(minor)
    return 3, 11  # a path: uv has the last word on what fits
