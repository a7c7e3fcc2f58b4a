"""Built environments on disk: who uses them, how large they are, which one goes first.

Layout, below the root::

    entries/KEY/entry.json   written last, by `os.replace`: without it the entry is half-built
    entries/KEY/TOKEN/       the virtual environment; each attempt has a token of its own, so
                             what a killed attempt's uv still writes never mixes with the next
    entries/KEY/lock.txt     what was resolved
    entries/KEY/used         its time stamp says when the entry was last used
    locks/KEY.lock           held while the entry is built, taken into use or removed
    uses/KEY/ID.lock         held as long as one process uses the entry
    trash/                   removed, and perhaps not yet gone

Locks are advisory file locks: the system drops them when their process dies, however it dies.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import platformdirs
from filelock import FileLock, Timeout

from forkpoint.environments import disk
from forkpoint.errors import EnvironmentFailed, UsageError
from forkpoint.untrusted import read_json

_ABANDONED = 3600.0
_LARGEST = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What ``entry.json`` says about a finished environment."""

    key: str
    names: tuple[str, ...]
    spec: str
    token: str
    interpreter: str
    torch_backend: str
    lock: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One environment in the cache.

    ``size`` is what its removal frees, in bytes of allocated blocks; ``shared`` is what it
    has in common with uv's own cache by hard links, which ``uv cache clean`` frees.
    ``built`` is None for an entry whose build did not end (or runs now); ``last_used`` is in
    seconds since the epoch.
    """

    key: str
    path: Path
    size: int
    shared: int
    last_used: float
    in_use: bool
    built: Built | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which the environment was asked for."""
        return self.built.names if self.built else ()

    @property
    def spec(self) -> str:
        """Its requirements as tokens; empty for a half-built one."""
        return self.built.spec if self.built else ""

    @property
    def lock(self) -> tuple[str, ...]:
        """Its packages, a line each."""
        return self.built.lock if self.built else ()


class EnvironmentCache:
    """The cache folder, and the entries that this process uses.

    ``root`` defaults to ``FORKPOINT_CACHE_DIR`` or the user's cache folder. ``max_bytes`` is
    how much of the disk entries may take (by `CacheEntry.size`) before the least recently
    used ones go; the default is half of what would be free without the cache, so it never
    fills a disk by itself. Entries in use are never removed. Closing it (it is a context
    manager) ends the uses that began through it. ``packages`` is the folder of uv's cache;
    uv's usual one where None.
    """

    def __init__(
        self,
        root: Path | None = None,
        max_bytes: int | None = None,
        *,
        packages: Path | None = None,
    ) -> None:
        self.root = (root or _default_root()).absolute()
        self.packages = packages
        self._max_bytes = max_bytes
        self._uses = ExitStack()
        self._used: set[str] = set()
        try:
            (self.root / "entries").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFailed(
                f"the cache folder {self.root} cannot be written: {error.strerror}",
                hint="Set FORKPOINT_CACHE_DIR to a folder on a disk with some 10 GB free.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop using what this process uses, so that it may be removed."""
        self._uses.close()
        self._used.clear()

    @property
    def max_bytes(self) -> int:
        """The limit in force, in bytes; the default depends on the disk at this moment."""
        if self._max_bytes is not None:
            return self._max_bytes
        return (shutil.disk_usage(self.root).free + sum(e.size for e in self.entries())) // 2

    def entries(self) -> list[CacheEntry]:
        """All entries, the least recently used first. Reads every folder: not instant."""
        found = [self._entry(path) for path in sorted((self.root / "entries").iterdir())]
        return sorted(found, key=lambda entry: entry.last_used)

    def built(self, key: str) -> Built | None:
        """What is known of a finished entry; None where there is none, or a damaged one."""
        try:
            built = read_json(self.path(key) / "entry.json", Built, most=_LARGEST)
        except (OSError, UsageError):
            return None
        return built if self.python(built).exists() else None

    def path(self, key: str) -> Path:
        """The folder of an entry."""
        return self.root / "entries" / key

    def python(self, built: Built) -> Path:
        """The interpreter of a finished entry."""
        return self.path(built.key) / built.token / "bin" / "python"

    @contextmanager
    def locked(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep all others from building, taking into use or removing an entry meanwhile.

        ``waiting`` is called once if another process has the entry.
        """
        lock = FileLock(self._lock_file(key))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if waiting:
                waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def hold(self, key: str) -> None:
        """Use an entry until `close` or the end of this process; call it under `locked`."""
        (self.path(key) / "used").touch()
        if key not in self._used:
            folder = self.root / "uses" / key
            folder.mkdir(parents=True, exist_ok=True)
            use = folder / f"{uuid.uuid4().hex}.lock"
            # not thread-local: builds run in threads, and `close` in the one that began them
            self._uses.enter_context(FileLock(use, thread_local=False))
            self._used.add(key)

    def rename(self, built: Built, name: str) -> Built:
        """Add a name under which a finished entry was asked for; call it under `locked`."""
        renamed = replace(built, names=(*built.names, name))
        self.finish(renamed)
        return renamed

    def finish(self, built: Built) -> None:
        """Mark an entry as complete; call it under `locked`."""
        folder = self.path(built.key)
        write_atomically(folder / "entry.json", msgspec.json.format(msgspec.json.encode(built)))
        (folder / "used").touch()

    def clear(self, key: str) -> Path:
        """Throw away what is left of an entry, and return its folder, new; under `locked`."""
        disk.discard(self.path(key), self.root / "trash")
        self.path(key).mkdir(parents=True)
        return self.path(key)

    def make_room(self, keep: str) -> list[CacheEntry]:
        """Remove the least recently used entries above the limit; returns what was removed.

        The entry ``keep`` and those in use stay, so the limit can be passed by those.
        """
        return self._remove_until(self.max_bytes, keep=keep)

    def prune(self, limit: int = 0) -> list[CacheEntry]:
        """Remove least recently used entries until ``limit`` bytes are left, half-built first.

        With 0, every entry that is not in use goes. Returns what was removed.
        """
        disk.empty(self.root / "trash")
        removed = [e for e in self.entries() if e.built is None and self._remove(e.key)]
        return removed + self._remove_until(limit)

    def evict(self, enough: Callable[[], bool]) -> list[CacheEntry]:
        """Remove entries until ``enough`` says so: half-built first, then least recently used.

        Those in use stay. Returns what was removed. ``enough`` is asked before each removal:
        entries share files with each other, so nobody knows beforehand what one of them frees.
        """
        disk.empty(self.root / "trash")
        removed: list[CacheEntry] = []
        for entry in sorted(self.entries(), key=lambda one: one.built is not None):
            if enough():
                break
            if self._remove(entry.key):
                removed.append(entry)
        return removed

    def _remove_until(self, limit: int, keep: str | None = None) -> list[CacheEntry]:
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        removed: list[CacheEntry] = []
        for entry in entries:
            if total <= limit and limit > 0:
                break
            if entry.key != keep and self._remove(entry.key):
                total -= entry.size
                removed.append(entry)
        return removed

    def _remove(self, key: str) -> bool:
        """Remove an entry unless somebody uses or builds it; says whether it went."""
        lock = FileLock(self._lock_file(key))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        try:
            if self._in_use(key):
                return False
            # nobody can begin a use while we have the lock, so the uses left are of the dead
            shutil.rmtree(self.root / "uses" / key, ignore_errors=True)
            disk.discard(self.path(key), self.root / "trash")
            return True
        finally:
            lock.release()

    def _in_use(self, key: str) -> bool:
        """Whether a process lives that uses the entry."""
        uses = (self.root / "uses" / key).glob("*.lock")
        return key in self._used or any(_is_held(use) for use in uses)

    def _entry(self, path: Path) -> CacheEntry:
        space = disk.usage(path)
        used = _modified(path / "used")
        return CacheEntry(
            key=path.name,
            path=path,
            size=space.freed,
            shared=space.shared,
            last_used=used if used is not None else _modified(path) or 0.0,
            in_use=self._in_use(path.name) or _is_held(self._lock_file(path.name)),
            built=self.built(path.name),
        )

    def _lock_file(self, key: str) -> Path:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key}.lock"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all."""
    for left in path.parent.glob(f".{escape(path.name[:200])}.*"):
        if not recent(left, _ABANDONED):  # its writer was killed
            left.unlink(missing_ok=True)
    draft = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex[:12]}")
    try:
        with draft.open("xb") as stream:
            stream.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def recent(path: Path, seconds: float) -> bool:
    """Whether a file was written within the last ``seconds``."""
    modified = _modified(path)
    return modified is not None and time.time() - modified < seconds


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _default_root() -> Path:
    chosen = os.environ.get("FORKPOINT_CACHE_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("forkpoint")
