"""Environments for one release after the other, within a limit on the disk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from forkpoint.bisect.results import Installed, digest
from forkpoint.bisect.room import Room
from forkpoint.environments import (
    Environment,
    EnvironmentCache,
    EnvironmentSpec,
    build,
    disk_usage,
    index_settings,
    is_built,
    parse_requirement,
)
from forkpoint.errors import UsageError


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
    package = canonicalize_name(releases.name)
    return Constraint(package=package, releases=releases.specifier, requirements=needed)


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
    cache: EnvironmentCache

    @property
    def installed(self) -> Installed:
        """What is in it."""
        return Installed.of(self.environment)

    def close(self) -> None:
        """Stop using it."""
        self.cache.close()


@dataclass(kw_only=True)
class Bench:
    """Builds the environment of any release of ``package`` by one base spec.

    With ``max_bytes``, environments and a uv cache of their own (hard links tie the two
    together) stay below it; without, uv's usual cache and the usual limit are used. ``builds``
    counts the environments that were not there. Another ``python`` than that of the base spec
    may be asked for.
    """

    package: str
    base: EnvironmentSpec
    root: Path | None = None
    max_bytes: int | None = None
    constraints: Sequence[Constraint] = ()
    torch_backend: str = "auto"
    say: Callable[[str, str], None] = lambda _name, _line: None
    builds: int = 0
    room: Room = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Find the cache folder."""
        with EnvironmentCache(self.root) as cache:
            self.root = cache.root
        self.room = Room(root=self.root, limit=self.max_bytes)

    def spec(self, version: Version, python: str | None = None) -> EnvironmentSpec:
        """The base spec, with one release of the package and what that release needs."""
        extra = [
            requirement
            for constraint in (*KNOWN, *self.constraints)
            if constraint.applies(self.package, version)
            for requirement in constraint.requirements
        ]
        requirements = (f"{self.package}=={version}", *self.base.requirements, *extra)
        name = f"{self.package}-{version}"
        return replace(
            self.base,
            name=f"{name}-python{_suffix(python)}" if python else name,
            requirements=tuple(dict.fromkeys(requirements)),
            python=python or self.base.python,
        )

    def key(self, version: Version, python: str | None = None) -> str:
        """A name for all that decides what is installed for a release."""
        spec = self.spec(version, python)
        return digest(
            [spec.requirements, spec.python, index_settings(os.environ), self.torch_backend]
        )

    def build(self, version: Version, python: str | None = None) -> Ready:
        """Build, or find, the environment of a release.

        Raises `EnvironmentFailed` where it cannot be built, `StorageFull` where the disk is full.
        """
        with self._lock:
            cache = self._open()
            try:
                return self._build(cache, version, python)
            except BaseException:
                cache.close()
                raise

    def has(self, version: Version, python: str | None = None) -> bool:
        """Whether the environment of a release is there already."""
        spec = self.spec(version, python)
        with self._open() as cache:
            return is_built(spec, cache=cache, torch_backend=self.torch_backend)

    def _build(self, cache: EnvironmentCache, version: Version, python: str | None) -> Ready:
        spec, key = self.spec(version, python), self.key(version, python)
        began = time.monotonic()
        said: list[str] = []

        def progress(line: str) -> None:
            said.append(line)
            self.say(spec.name, line)

        make = partial(build, spec, cache=cache, torch_backend=self.torch_backend)
        if self.has(version, python):
            environment = make(progress=progress)
        else:
            used = self.room.make(cache, self.room.reserve(self.package, key))
            with self.room.watched(cache, used) as grown:
                environment = make(progress=progress)
            self.room.learn(self.package, key, grown(), disk_usage(cache.path(environment.key)))
        self.builds += bool(said)
        seconds = time.monotonic() - began
        return Ready(environment=environment, seconds=seconds, cache=cache)

    def _open(self) -> EnvironmentCache:
        if self.max_bytes is None:
            return EnvironmentCache(self.root)
        usual = EnvironmentCache(self.root)
        # below the root, so that its links are on the same file system as the environments
        return EnvironmentCache(usual.root, self.max_bytes, packages=usual.root / "packages")


def _suffix(python: str) -> str:
    """A Python as a part of an environment's name: 3.11, or the end of its path."""
    return Path(python).name if os.sep in python else python
