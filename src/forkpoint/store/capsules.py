"""Capsules, read as untrusted input: what op they call, and which bits came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from forkpoint.errors import RecordingError
from forkpoint.store.dtypes import DTYPES
from forkpoint.store.tensors import read_header
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
    content = _decoded(folder, _Content)
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


class Layout(msgspec.Struct, frozen=True):
    """A tensor argument of a call, over one of its storages; strides and offset in elements."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: int
    alignment: int
    device: str


class _Storage(msgspec.Struct, frozen=True):
    bytes: int
    key: str | None = None


class _Call(msgspec.Struct, frozen=True):
    op: str
    tensors: tuple[Layout, ...]
    storages: tuple[_Storage, ...]
    schema: str = ""


class _Callable(msgspec.Struct, frozen=True):
    call: _Call
    state: dict[str, Any] | None = None
    fingerprint: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """What a capsule calls: the protocol's document, and its tensors' layouts.

    ``schema`` is the op's signature as torch writes it. ``values(n)`` are those of the n-th
    tensor. ``state`` is the numerics state of the call, ``fingerprint`` that of the recording.
    """

    folder: Path
    op: str
    schema: str
    document: Mapping[str, Any]
    tensors: tuple[Layout, ...]
    state: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)

    def values(self, number: int) -> NDArray[np.generic] | None:
        """A copy of a tensor's values in its shape; None where its dtype has no numpy type.

        Raises `RecordingError` where the capsule's bytes are damaged.
        """
        layout = self.tensors[number]
        storage = self.document["storages"][layout.storage]
        dtype = DTYPES.get(layout.dtype)
        if dtype is None or storage.get("key") is None:
            return None
        whole = _stored(self.folder / "tensors.safetensors", storage["key"], storage["bytes"])
        count = len(whole) // dtype.itemsize
        data = np.frombuffer(whole, dtype=dtype, count=count)
        spans = ((n - 1) * step for n, step in zip(layout.shape, layout.stride, strict=True))
        if 0 not in layout.shape and layout.offset + sum(spans) >= count:
            raise RecordingError(f"{self.folder}: a tensor reaches beyond its bytes.", hint=_HINT)
        if 0 in layout.shape:
            return np.empty(layout.shape, dtype)
        steps = [step * dtype.itemsize for step in layout.stride]
        view = np.lib.stride_tricks.as_strided(
            data[layout.offset :], layout.shape, steps, writeable=False
        )
        return np.array(view)

    def outputs(self, slots: Sequence[int]) -> bytes:
        """The bytes of recorded outputs, one after the other; raises `RecordingError`."""
        path = self.folder / "outputs.safetensors"
        entries = read_header(path).entries
        found = []
        for slot in slots:
            entry = entries.get(str(slot))
            if entry is None:
                raise RecordingError(f"{path} holds no output {slot}.", hint=_HINT)
            start, end = entry.data_offsets
            found.append(_stored(path, str(slot), end - start))
        return b"".join(found)


def read_call(folder: Path) -> RecordedCall:
    """Read what a capsule calls; raises `RecordingError` where that is not what it should be."""
    capsule = read_capsule(folder)
    content = _decoded(folder, _Callable)
    call = content.call
    for layout in call.tensors:
        numbers = (layout.offset, *layout.shape, *layout.stride)
        lengths = len(layout.shape) == len(layout.stride)
        if not 0 <= layout.storage < len(call.storages) or min(numbers) < 0 or not lengths:
            raise RecordingError(f"{folder} describes a tensor that cannot be.", hint=_HINT)
    raw = _decoded(folder, dict[str, Any])
    return RecordedCall(
        folder=capsule.folder,
        op=call.op,
        schema=call.schema,
        document=raw["call"],
        tensors=call.tensors,
        state=content.state or {},
        fingerprint=content.fingerprint,
    )


T = TypeVar("T")


def _decoded(folder: Path, kind: type[T]) -> T:
    path = folder / "capsule.json"
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
        return msgspec.json.decode(data, type=kind)
    except (FileNotFoundError, NotADirectoryError):
        raise RecordingError(f"{folder} holds no capsule.", hint=_HINT) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordingError(f"{path} cannot be read: {error}", hint=_HINT) from error


def _stored(path: Path, key: str, count: int) -> bytes:
    header = read_header(path)
    entry = header.entries.get(key)
    if entry is None or entry.data_offsets[1] - entry.data_offsets[0] != count:
        raise RecordingError(f"{path} does not hold the {count} bytes of {key!r}.", hint=_HINT)
    with path.open("rb") as stream:
        stream.seek(header.data + entry.data_offsets[0])
        return stream.read(count)
