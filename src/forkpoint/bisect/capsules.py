"""Capsules as the subject: each one is a call, known by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from forkpoint.bisect.subjects import Calls, RowKey
from forkpoint.errors import RecordingError
from forkpoint.host import Call
from forkpoint.store import Capsule, read_capsule


def capsule_subject(folders: Sequence[Path]) -> Calls:
    """Capsules, as something to measure.

    Raises `RecordingError` where a folder holds none, or one that cannot be replayed.
    """
    found = {}
    keys = {}
    for folder in folders:
        capsule, name = _read(folder), _content(folder)
        found[name] = Call(id=name, capsule=folder.absolute())
        keys[name] = RowKey(
            name=f"{capsule.op} ({folder.name})",
            op=capsule.op,
            dtype=capsule.dtype,
            shapes=capsule.shapes,
        )
    title = folders[0].name if len(folders) == 1 else f"{len(folders)} capsules"
    return Calls(name=title, calls=found, keys=keys)


def _read(folder: Path) -> Capsule:
    capsule = read_capsule(folder)
    if capsule.reason:
        raise RecordingError(
            f"{folder} cannot be replayed: {capsule.reason}.", hint="Choose another capsule."
        )
    return capsule


def _content(folder: Path) -> str:
    """A hash over all that the capsule holds: it names its answers in the results."""
    content = hashlib.sha256()
    for name in ("capsule.json", "tensors.safetensors"):
        path = folder / name
        content.update(path.read_bytes() if path.exists() else b"")
    return content.hexdigest()[:32]
