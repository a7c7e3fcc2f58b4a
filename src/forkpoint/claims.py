"""Places of one's own: temporary folders, and outputs that two commands want at the same time.

Both are held by a file lock, which the system drops when its process dies, however it dies. So
what a killed process left is known for what it is, and what a living one uses is never taken
away, whatever its process number is and in whichever container it runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Self

from forkpoint.errors import FULL, StorageFull, UsageError

_PREFIX = "forkpoint-"
_LOCK = ".in-use"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, gone at the end of the block.

    Folders of processes that were killed are removed on this occasion.
    """
    scratch = Scratch()
    try:
        yield scratch.path
    finally:
        scratch.close()


class Scratch:
    """As `scratch_folder`, for owners that no block can hold: gone with them, or by `close`."""

    def __init__(self) -> None:
        _clean(Path(tempfile.gettempdir()))
        try:
            self.path, lock = _made()
        except OSError as error:
            kind = StorageFull if error.errno in FULL else UsageError
            raise kind(
                f"No temporary folder can be made in {tempfile.gettempdir()}: {error.strerror}.",
                hint="Free some space there, or set TMPDIR to a folder with room.",
            ) from error
        self._close = weakref.finalize(self, _remove, self.path, lock)

    def close(self) -> None:
        """Remove the folder; a second time does nothing."""
        self._close()


class Claim:
    """The right to write at one place; `release` gives it up, and so does the end of its owner.

    It is a locked file beside the place, called as it is with a dot in front.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self._release = weakref.finalize(self, _let_go, path, lock)

    @classmethod
    def on(cls, target: Path) -> Self:
        """Claim a place; raises `UsageError` where another process has it, or nobody can.

        Folders above it are made. What is left there of recordings whose process was killed is
        removed.
        """
        path = target.parent / f".{target.name}.lock"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = _locked(path)
        except OSError as error:
            kind = StorageFull if error.errno in FULL else UsageError
            raise kind(
                f"Nothing can be written to {target}: {error.strerror or error}.",
                hint="Name a folder on a disk with room, and with write permission, by --out.",
            ) from error
        if lock is None:
            raise UsageError(
                f"Another forkpoint writes to {target} right now.",
                hint="Wait for its end, or name another place with --out.",
            )
        for left in target.parent.glob(f".{escape(target.name)}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
        return cls(path, lock)

    def release(self) -> None:
        """Give the place up; a second time does nothing."""
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _let_go(path: Path, lock: int) -> None:
    with suppress(OSError):
        path.unlink()
    os.close(lock)


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _made() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            lock = _locked(folder / _LOCK)
        except FileNotFoundError:
            continue  # we slept so long that somebody took it for a dead one's
        if lock is not None:
            return folder, lock


def _locked(path: Path) -> int | None:
    """Lock a file, made where there is none: its descriptor, or None where another has it."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        lock = os.open(path, flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        with suppress(FileNotFoundError):
            if _is_same(path, lock):
                return lock
        os.close(lock)  # its owner removed the file between our two steps: once more


def _is_same(path: Path, descriptor: int) -> bool:
    return os.path.samestat(os.lstat(path), os.fstat(descriptor))


def _clean(place: Path) -> None:
    """Remove the temporary folders of the dead; never one that is not ours."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _clean_one(Path(entry.path), entry.stat(follow_symlinks=False))


def _clean_one(folder: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or not (folder / _LOCK).exists():
        return  # somebody else's, or called like ours by chance
    lock = _locked(folder / _LOCK)
    if lock is not None:
        _remove(folder, lock)
