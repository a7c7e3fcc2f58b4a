"""Capsules, read as untrusted input: what op they call, and which bits came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from forkpoint.errors import RecordingError
from forkpoint_worker.schema import CAPSULE_FORMAT

_LARGEST = 16 << 20
_HINT = "Name a folder that holds capsule.json, as 'forkpoint compare' leaves them in capsules/."


class _Output(msgspec.Struct, frozen=True):
    slot: int
    digest: str


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]


class _Document(msgspec.Struct, frozen=True):
    op: str
    tensors: tuple[_Tensor, ...]


class _Source(msgspec.Struct, frozen=True):
    step: int = -1
    module: str = ""
    call: int = 0
    signature: str = ""


class _Content(msgspec.Struct, frozen=True):
    format: str
    call: _Document
    outputs: tuple[_Output, ...]
    source: _Source = _Source()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """One recorded op call.

    ``outputs`` maps slots to digests; ``step``, ``module`` and ``number`` say which call it was;
    ``shapes`` and ``dtype`` (of the first one) are those of its input tensors. ``reason`` says
    why it cannot be replayed, or is null.
    """

    folder: Path
    op: str
    outputs: Mapping[int, str]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    step: int
    module: str
    number: int
    signature: str
    reason: str | None


def read_capsule(folder: Path) -> Capsule:
    """Read ``capsule.json`` of a folder; raises `RecordingError` where it is none."""
    path = folder / "capsule.json"
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
        content = msgspec.json.decode(data, type=_Content)
    except (FileNotFoundError, NotADirectoryError):
        raise RecordingError(f"{folder} holds no capsule.", hint=_HINT) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordingError(f"{path} cannot be read: {error}", hint=_HINT) from error
    if content.format != CAPSULE_FORMAT:
        raise RecordingError(
            f"{folder} is a capsule of format {content.format[:40]!r}.", hint=_HINT
        )
    tensors = content.call.tensors
    return Capsule(
        folder=folder.absolute(),
        op=content.call.op,
        outputs={output.slot: output.digest for output in content.outputs},
        shapes=tuple(tensor.shape for tensor in tensors),
        dtype=tensors[0].dtype if tensors else "",
        step=content.source.step,
        module=content.source.module,
        number=content.source.call,
        signature=content.source.signature,
        reason=content.reason,
    )
