"""`history` and `bisect`: which release changed a result."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from forkpoint.api._options import Observer
from forkpoint.api._why import Why
from forkpoint.bisect import (
    Bench,
    Bisection,
    Calls,
    History,
    Looker,
    Recorded,
    Release,
    Results,
    Script,
    Subject,
    Survey,
    find_change,
    list_by_python,
    parse_constraint,
    recorded,
    run_history,
    select,
    series,
)
from forkpoint.environments import CPU, EnvironmentCache, first_choice, has_nvidia_gpu, parse_spec
from forkpoint.errors import UsageError

PYTHON = "3.11"
"""The one Python for which every torch release from 2.0 on has wheels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which releases, and what to install with them.

    ``releases`` is a requirement (``torch>=2.0,<2.16``) whose name is the package under study.
    ``also`` are requirements for every environment, ``constraints`` those for some releases
    (``torch<2.3: numpy<2``). ``axes`` are the combinations of values at which everything is
    measured: Pythons, torch settings, variables (``{"python": "3.10", "threads": "1"}``).
    ``max_cache`` is the limit for environments and uv's cache together, in bytes; ``cache`` is
    the folder for both, the usual one where None. ``diagnose``: compare and diagnose a script in
    the two releases of each change.
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
    diagnose: bool = False


def history(subject: Subject, over: Range, *, observer: Observer | None = None) -> History:
    """Run a subject in every release of a range, and say what changed between neighbours.

    Results are kept in forkpoint's cache folder, and used again. Raises `UsageError` where the
    range holds no release, `EnvironmentFailed` where an index is out of reach or nothing runs,
    `StorageFull` where the disk is full.
    """
    observer = observer or Observer()
    package, specifier = _requirement(over.releases)
    _require_possible(subject, over)
    found = _listed(package, over)
    chosen = select(
        next(iter(found.values())),
        specifier,
        newest_patch=over.newest_patch,
        prereleases=over.prereleases,
        yanked=over.yanked,
    )
    if not chosen:
        every = next(iter(found.values()))
        raise UsageError(
            f"No release of {package} is in {over.releases!r}.",
            hint=f"The index has {every[0]} to {every[-1]}.",
        )
    bench, results = _bench(package, over, observer)
    survey = _survey(subject, chosen, over, found)
    measured = run_history(survey, bench=bench, results=results, say=observer.note)
    if not over.diagnose or not isinstance(subject, Script):
        return measured
    why = Why(subject, bench, results, over.axes, observer)
    return replace(measured, changes=why.of_changes(measured))


def bisect(
    subject: Subject, good: str, bad: str, over: Range, *, observer: Observer | None = None
) -> Bisection:
    """Find the release between two at which the bits of a subject change.

    ``good`` and ``bad`` are versions of the package that ``over.releases`` names. Raises
    `UsageError` where they are the wrong way around, one release, or give the same bits,
    `EnvironmentFailed` where one that is needed cannot be looked at, and `StorageFull`.
    """
    observer = observer or Observer()
    package, _ = _requirement(over.releases)
    _require_possible(subject, over)
    first, last = _ends(package, good, bad)
    found = _listed(package, over)
    between = _between(package, (first, last), over, next(iter(found.values())))
    bench, results = _bench(package, over, observer)
    looker = Looker(
        _survey(subject, (), over, found),
        bench=bench,
        results=results,
        recorded=_recorded(subject, package, over, bench, observer),
    )
    answer = find_change(between, looker=looker, say=observer.note)
    if not over.diagnose or not isinstance(subject, Script):
        return answer
    why = Why(subject, bench, results, over.axes, observer)
    pair = answer.last_good, answer.first_bad
    axes = {row.axis for row in answer.changed}
    return replace(answer, diagnoses=why.of_pair(pair, axes))


def everything_between(package: str, good: str, bad: str) -> str:
    """The range from one release to the other, both included, as `Range.releases` takes it.

    Raises `UsageError` where they are the wrong way around, or one release.
    """
    first, last = _ends(package, good, bad)
    return f"{package}>={first},<={last}"


def _require_possible(subject: Subject, over: Range) -> None:
    if any(axis.get("device") == "cuda" for axis in over.axes) and not has_nvidia_gpu():
        raise UsageError(
            "--axis device=cuda needs an NVIDIA GPU, and no driver of one runs on this machine.",
            hint="Leave cuda away, or run this on a machine with a GPU.",
        )
    if over.diagnose and not isinstance(subject, Script):
        raise UsageError(
            f"--diagnose searches a script for the ops behind a change, and {subject.title} "
            "consists of single op calls.",
            hint="Leave --diagnose away: sizes and the float64 side are measured anyway.",
        )


def _listed(package: str, over: Range) -> dict[str, tuple[Release, ...]]:
    """All releases, for each Python that is asked for."""
    pythons = dict.fromkeys(axis.get("python", over.python) for axis in over.axes)
    return list_by_python(package, list(pythons))


def _survey(
    subject: Subject,
    releases: tuple[Release, ...],
    over: Range,
    found: Mapping[str, tuple[Release, ...]],
) -> Survey:
    obstacles = {
        python: {one.version: one.obstacle for one in listed if one.obstacle is not None}
        for python, listed in found.items()
    }
    return Survey(subject=subject, releases=releases, axes=over.axes, obstacles=obstacles)


def _recorded(
    subject: Subject, package: str, over: Range, bench: Bench, observer: Observer
) -> tuple[Recorded, ...]:
    """What the capsules themselves recorded, where a build on this machine would give that."""
    if package != "torch" or any(over.axes) or not isinstance(subject, Calls):
        return ()
    assert bench.root is not None
    cpu = first_choice(bench.root, over.torch_backend) == CPU
    python = series(over.python)
    counting = []
    for found in recorded(subject):
        obstacle = found.obstacle(python=python, cpu_builds=cpu)
        if obstacle is None:
            counting.append(found)
            continue
        observer.note(
            f"What the capsule holds of torch {found.version} does not count here: it was "
            f"recorded {obstacle}."
        )
    return tuple(counting)


def _ends(package: str, good: str, bad: str) -> tuple[Version, Version]:
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
    return first, last


def _between(
    package: str, ends: tuple[Version, Version], over: Range, found: tuple[Release, ...]
) -> tuple[Release, ...]:
    """The releases from one end to the other; the ends themselves whatever they are."""
    for version in ends:
        if not any(release.version == version for release in found):
            raise UsageError(
                f"The index has no {package} {version}.",
                hint="It has " + ", ".join(map(str, found[-8:])) + " and older ones.",
            )
    chosen = select(
        found,
        f">={ends[0]},<={ends[1]}",
        newest_patch=over.newest_patch,
        prereleases=over.prereleases,
        yanked=over.yanked,
    )
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
    return canonicalize_name(found.name), str(found.specifier)


def _version(text: str, option: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(
            f"{option} {text!r} names no release.",
            hint=f"Write {option} 'torch==2.9.1'.",
        ) from None
