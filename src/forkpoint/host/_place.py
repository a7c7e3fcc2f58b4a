"""Recordings appear whole, where they were asked for, and never over anything else."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import msgspec

from forkpoint.errors import FULL, StorageFull, UsageError
from forkpoint.store.manifest import MAX_BYTES
from forkpoint.untrusted import read_json
from forkpoint_worker.schema import FORMAT

OWN_NAMES = frozenset(
    {"manifest.json", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "tensors", "capsules"}
)


_LEAST = 1 << 20


class _Manifest(msgspec.Struct):
    format: str


def is_recording(folder: Path) -> bool:
    """Whether a folder is a recording, perhaps a damaged one, and holds nothing else."""
    try:
        manifest = read_json(folder / "manifest.json", _Manifest, most=MAX_BYTES)
        names = {entry.name for entry in folder.iterdir()}
    except (OSError, UsageError):
        return False
    family = FORMAT.partition("/")[0]
    return manifest.format.partition("/")[0] == family and names <= OWN_NAMES


def require_free(target: Path, *, force: bool) -> None:
    """Raise `UsageError` unless a recording may be put at ``target``.

    With ``force`` an older recording may be in the way; anything else may not, ever.
    """
    if not os.path.lexists(target):
        return
    if not is_recording(target) or target.is_symlink():
        raise UsageError(
            f"{target} is in the way, and is not a recording of forkpoint (or not only that).",
            hint="Name another folder with --out. forkpoint never deletes what it did not write.",
        )
    if not force:
        raise UsageError(
            f"There is already a recording at {target}.",
            hint="Name another folder with --out, or replace that one with --force.",
        )


def stage(target: Path) -> Path:
    """A folder name beside ``target`` that is not taken, for a worker to create.

    On the same file system, so that `publish` is one rename. Raises `StorageFull` or
    `UsageError` where nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    except OSError as error:
        raise unwritable("A recording", target, error) from error
    return Path(holder) / "recording"


def unwritable(what: str, target: Path, error: OSError) -> StorageFull | UsageError:
    """The error for something that cannot be written: no room, or no permission."""
    # shutil gathers errors of many files in one without a number: then the disk is asked
    full = error.errno in FULL or (error.errno is None and _free(target) < _LEAST)
    reason = "no room is left there" if full else error.strerror or str(error)
    kind = StorageFull if full else UsageError
    return kind(
        f"{what} cannot be written to {target}: {reason}.",
        hint="Name a folder on a disk with room, and with write permission, by --out.",
    )


def _free(target: Path) -> int:
    """Bytes free where ``target`` is, or would be."""
    there = next(path for path in (target, *target.parents) if path.exists())
    return shutil.disk_usage(there).free


def publish(staged: Path, target: Path) -> None:
    """Move what a worker wrote to where it was asked for; an older recording goes away last."""
    holder = staged.parent
    if staged.is_dir():
        older = holder / "older"
        if is_recording(target):
            target.rename(older)
        staged.rename(target)
    shutil.rmtree(holder, ignore_errors=True)
