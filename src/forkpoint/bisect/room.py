"""Room on the disk for environments, kept below a limit before and while one is built."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from forkpoint.bisect.results import read_json
from forkpoint.environments import (
    EnvironmentCache,
    clean_packages,
    disk_usage,
    write_atomically,
)
from forkpoint.errors import ForkpointError

LEAST_GUESS = 10 * 10**9
"""Bytes to leave for a build of unknown size: while the wheels of a CUDA build of torch (2.8 and
2.9 most of all) are unpacked, up to 9.5 GB more lie on the disk than before it."""

_EVERY = 0.25  # seconds between two looks at the disk during a build


@dataclass(kw_only=True)
class Room:
    """What lies below a cache folder: environments, and uv's cache beside them.

    Before a build, as much is removed as the build may need: what builds of this very
    environment took, or else the larger of `LEAST_GUESS` and of what builds of the package took.
    While it runs, the disk is watched, and more goes where that was not enough. Environments in
    use stay, so only those can lead above ``limit``. ``peak`` is the most that was measured, in
    bytes, after a build and where the disk ran short in one.
    """

    root: Path
    limit: int | None
    peak: int = 0
    _sizes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = read_json(self.root / "sizes.json", dict[str, int]) or {}

    def reserve(self, package: str, key: str) -> int:
        """The bytes to leave for a build; ``key`` names the environment among the package's.

        An environment that was built before is known; another one may always be larger than all
        that were, so it gets no less than the guess.
        """
        if (size := self._sizes.get(f"{package} {key}")) is not None:
            return size * 5 // 4
        seen = [size for name, size in self._sizes.items() if name.split(" ")[0] == package]
        return max(LEAST_GUESS, max(seen, default=0) * 5 // 4)

    def make(self, cache: EnvironmentCache, reserve: int) -> int:
        """Leave ``reserve`` bytes: first what only uv's cache holds goes, then environments.

        The least recently used ones go first. Environments share files, so what a removal gave
        is measured and not added up. Returns the bytes that are there then; 0 without a limit.
        """
        if self.limit is None:
            return 0
        limit, used = max(self.limit - reserve, 0), disk_usage(cache.root)

        def enough() -> bool:
            nonlocal used
            used = disk_usage(cache.root)
            return used <= limit

        if used > limit:
            clean_packages(cache)
            cache.evict(enough)
            enough()
        return used

    @contextmanager
    def watched(self, cache: EnvironmentCache, used: int) -> Iterator[Callable[[], int]]:
        """Watch the disk while an environment is built; gives what tells how much it grew.

        ``used`` is what `make` returned.
        """
        if self.limit is None:
            yield lambda: 0
            return
        gauge = _Gauge(cache, self.limit, used)
        gauge.start()
        try:
            yield lambda: gauge.grown
        finally:
            gauge.stop()
            self.peak = max(self.peak, gauge.peak)

    def learn(self, package: str, key: str, grown: int, size: int) -> None:
        """Keep what a build took: the disk grew by ``grown``, the environment is ``size`` bytes.

        One that found its packages there grew by less than it may need another time. Others
        write to the disk, too, so no more is believed than its packages twice.
        """
        name, took = f"{package} {key}", max(size, min(grown, 2 * size))
        if self.limit is not None and took > self._sizes.get(name, 0):
            self._sizes[name] = took
            write_atomically(self.root / "sizes.json", msgspec.json.encode(self._sizes))


class _Gauge(threading.Thread):
    """Looks at the disk again and again during a build, and makes room where it runs short.

    The free space of the disk is asked, which takes no time. What others write there looks as if
    the build had, so the folder itself is measured (seconds) before anything is removed.
    """

    def __init__(self, cache: EnvironmentCache, limit: int, used: int) -> None:
        super().__init__(daemon=True)
        self._cache = cache
        self._limit = limit
        self._first = self.peak = self._used = used
        self._free = self._now()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self.grown = 0

    def run(self) -> None:
        """Look, until `stop`."""
        try:
            while not self._ended.wait(_EVERY):
                self._look()
        except (OSError, ForkpointError) as error:
            self._error = error  # raised by `stop`, in the thread that builds

    def stop(self) -> None:
        """Measure a last time; raises what went wrong meanwhile."""
        self._ended.set()
        self.join()
        self._measure()
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        used = self._used + self._free - self._now()
        self.grown = max(self.grown, used - self._first)
        if used > self._limit:
            self._cache.evict(lambda: self._measure() <= self._limit)

    def _measure(self) -> int:
        self._used, self._free = disk_usage(self._cache.root), self._now()
        self.peak = max(self.peak, self._used)
        return self._used

    def _now(self) -> int:
        return shutil.disk_usage(self._cache.root).free
