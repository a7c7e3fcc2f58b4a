"""Environments for one release after the other, within a limit on the disk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from forkpoint.bisect.results import digest
from forkpoint.environments import (
    Environment,
    EnvironmentCache,
    EnvironmentSpec,
    build,
    clean_packages,
    disk_usage,
    index_settings,
    parse_requirement,
)
from forkpoint.errors import UsageError

_LEAST_GUESS = 10 * 10**9
"""Bytes to leave for a build: while the wheels of a CUDA build of torch (2.8 and 2.9 most of all)
are unpacked, up to 9.5 GB more lie on the disk than before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """Requirements that hold for some releases only: ``torch<2.3: numpy<2``."""

    package: str
    releases: SpecifierSet
    requirements: tuple[str, ...]

    def applies(self, package: str, version: Version) -> bool:
        """Whether this release is meant."""
        return package == self.package and self.releases.contains(version, prereleases=True)


def parse_constraint(text: str) -> Constraint:
    """Read ``RELEASES: REQUIREMENT ...``; raises `UsageError` where it is not of that form."""
    head, colon, rest = text.partition(":")
    try:
        releases = Requirement(head)
    except InvalidRequirement:
        colon = ""
    if not colon or not rest.split():
        raise UsageError(
            f"--constraint {text!r} cannot be read.",
            hint="Write which releases, a colon, and what they need: 'torch<2.3: numpy<2'.",
        )
    needed = tuple(parse_requirement(one) for one in rest.split())
    return Constraint(package=releases.name, releases=releases.specifier, requirements=needed)


KNOWN = (
    parse_constraint("torch<2.3: numpy<2"),  # built against numpy 1: warns and lacks .numpy()
    parse_constraint("torch>=2.1,<2.2: setuptools<81"),  # imports pkg_resources
)
"""What is known of releases, whoever asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A built environment; `close` lets it go when room is needed."""

    environment: Environment
    seconds: float
    existed: bool
    cache: EnvironmentCache

    def close(self) -> None:
        """Stop using it."""
        self.cache.close()


@dataclass(kw_only=True)
class Bench:
    """Builds the environment of any release of ``package`` by one base spec.

    With ``max_bytes``, environments and a uv cache of their own (hard links tie the two
    together) stay below it; without, uv's usual cache and the usual limit are used. ``peak``
    is the most that was seen on the disk, in bytes, measured after each build; ``builds`` counts
    the environments that were not there.
    """

    package: str
    base: EnvironmentSpec
    root: Path | None = None
    max_bytes: int | None = None
    constraints: Sequence[Constraint] = ()
    torch_backend: str = "auto"
    say: Callable[[str, str], None] = lambda _name, _line: None
    peak: int = 0
    builds: int = 0
    _largest: int = 0
    _before: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spec(self, version: Version) -> EnvironmentSpec:
        """The base spec, with one release of the package and what that release needs."""
        extra = [
            requirement
            for constraint in (*KNOWN, *self.constraints)
            if constraint.applies(self.package, version)
            for requirement in constraint.requirements
        ]
        requirements = (f"{self.package}=={version}", *self.base.requirements, *extra)
        name = f"{self.package}-{version}"
        return replace(self.base, name=name, requirements=tuple(dict.fromkeys(requirements)))

    def key(self, version: Version) -> str:
        """A name for all that decides what is installed for a release."""
        spec = self.spec(version)
        return digest(
            [spec.requirements, spec.python, index_settings(os.environ), self.torch_backend]
        )

    def build(self, version: Version) -> Ready:
        """Build, or find, the environment of a release; raises `EnvironmentFailed`."""
        with self._lock:
            cache = self._open()
            if self.max_bytes is not None:
                self._make_room(cache, self.max_bytes)
            began, spec = time.monotonic(), self.spec(version)
            said: list[str] = []

            def progress(line: str) -> None:
                said.append(line)
                self.say(spec.name, line)

            try:
                environment = build(
                    spec, cache=cache, torch_backend=self.torch_backend, progress=progress
                )
            except BaseException:
                cache.close()
                raise
            seconds = time.monotonic() - began
            self._measure(cache)
            self.builds += bool(said)
        return Ready(environment=environment, seconds=seconds, existed=not said, cache=cache)

    def has(self, version: Version) -> bool:
        """Whether an environment with this very release and nothing else asked for is built."""
        with self._open() as cache:
            wanted = EnvironmentSpec(name="any", requirements=self.spec(version).requirements)
            folders = (cache.root / "entries").iterdir()
            built = [cache.built(folder.name) for folder in folders]
        return any(one is not None and one.spec == wanted.text for one in built)

    def _open(self) -> EnvironmentCache:
        if self.max_bytes is None:
            return EnvironmentCache(self.root)
        usual = EnvironmentCache(self.root)
        # below the root, so that its links are on the same file system as the environments
        return EnvironmentCache(usual.root, self.max_bytes, packages=usual.root / "packages")

    def _make_room(self, cache: EnvironmentCache, limit: int) -> None:
        """Leave room for one build: first what only uv's cache holds, then old environments."""
        reserve = min(max(self._largest * 5 // 4, _LEAST_GUESS), limit)
        self._before = disk_usage(cache.root)
        if self._before + reserve <= limit:
            return
        clean_packages(cache)
        self._before = disk_usage(cache.root)
        if self._before + reserve > limit:
            cache.prune(max(limit - reserve, 1))
            self._before = disk_usage(cache.root)

    def _measure(self, cache: EnvironmentCache) -> None:
        if self.max_bytes is None:
            return
        now = disk_usage(cache.root)
        self._largest = max(self._largest, now - self._before)
        self.peak = max(self.peak, now)
