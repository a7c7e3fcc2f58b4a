"""Capsules as the subject: each one is a call, known by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from forkpoint.bisect.subjects import Calls, RowKey
from forkpoint.errors import RecordingError
from forkpoint.host import Call

_FORMAT = "forkpoint.capsule/1"
_HINT = "Name a folder that holds capsule.json, as 'forkpoint record' writes them."


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]


class _Document(msgspec.Struct, frozen=True):
    op: str
    tensors: tuple[_Tensor, ...]


class _Capsule(msgspec.Struct, frozen=True):
    format: str
    call: _Document
    reason: str | None = None


def capsule_subject(folders: Sequence[Path]) -> Calls:
    """Capsules, as something to measure.

    Raises `RecordingError` where a folder holds none, or one that cannot be replayed.
    """
    found = {}
    keys = {}
    for folder in folders:
        capsule, name = _read(folder), _content(folder)
        tensors = capsule.call.tensors
        found[name] = Call(id=name, capsule=folder.absolute())
        keys[name] = RowKey(
            name=f"{capsule.call.op} ({folder.name})",
            op=capsule.call.op,
            dtype=tensors[0].dtype if tensors else "",
            shapes=tuple(tensor.shape for tensor in tensors),
        )
    title = folders[0].name if len(folders) == 1 else f"{len(folders)} capsules"
    return Calls(name=title, calls=found, keys=keys)


def _read(folder: Path) -> _Capsule:
    try:
        capsule = msgspec.json.decode((folder / "capsule.json").read_bytes(), type=_Capsule)
    except FileNotFoundError:
        raise RecordingError(f"{folder} holds no capsule.", hint=_HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(f"{folder}/capsule.json cannot be read: {error}", hint=_HINT) from None
    if capsule.format != _FORMAT:
        raise RecordingError(f"{folder} is a capsule of format {capsule.format!r}.", hint=_HINT)
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
