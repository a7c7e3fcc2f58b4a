"""How much a folder holds, and how to take it away."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on disk below a folder.

    ``freed`` is what removing the folder gives back. ``shared`` is what stays, because other
    folders (uv's cache, mostly) hold hard links to the same files.
    """

    freed: int
    shared: int


def usage(folder: Path) -> Usage:
    """Measure a folder by its allocated blocks, each file once however many links it has.

    A file is freed if all of its links lie below ``folder``. Files that vanish while we
    look count nothing.
    """
    links: Counter[tuple[int, int]] = Counter()
    total: dict[tuple[int, int], tuple[int, int]] = {}
    for status in _statuses(folder):
        inode = status.st_dev, status.st_ino
        links[inode] += 1
        total[inode] = status.st_blocks * _BLOCK, status.st_nlink
    freed = sum(size for inode, (size, count) in total.items() if count <= links[inode])
    return Usage(freed=freed, shared=sum(size for size, _ in total.values()) - freed)


def total(folder: Path) -> int:
    """Bytes of allocated blocks below a folder, each file once however many links it has."""
    space = usage(folder)
    return space.freed + space.shared


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue


def discard(path: Path, trash: Path) -> None:
    """Remove a folder: at once out of sight, by a rename into ``trash``, then for good.

    ``trash`` must be on the same file system. What somebody still writes into is left in
    the trash; `empty` takes it away another time.
    """
    trash.mkdir(parents=True, exist_ok=True)
    target = trash / uuid.uuid4().hex
    try:
        path.rename(target)
    except FileNotFoundError:
        return
    shutil.rmtree(target, ignore_errors=True)


def empty(trash: Path) -> None:
    """Take away what `discard` had to leave behind."""
    shutil.rmtree(trash, ignore_errors=True)
