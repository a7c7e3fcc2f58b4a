"""Capsules, read as untrusted input: what op they call, and which bits came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from forkpoint.errors import RecordingError
from forkpoint.store.dtypes import DTYPES, MAX_BYTES, MAX_DIMS
from forkpoint.store.tensors import read_entry, read_header
from forkpoint.untrusted import read_json
from forkpoint_worker.libraries import is_about_trust, parts_of, refused
from forkpoint_worker.schema import CAPSULE_FORMAT

_LARGEST = 16 << 20
_GROWTH = 64  # bytes that a tensor may have for each byte that is stored of it
_FREE = 64 << 20  # bytes that are always allowed
_MOST_SLOT = 1 << 40
_DEEPEST = 8  # lists within lists
_MOST_TENSORS = 10_000
_HINT = "Name a folder that holds capsule.json, as 'forkpoint compare' leaves them in capsules/."


class _Output(msgspec.Struct, frozen=True):
    slot: int
    digest: str


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    device: str = "cpu"


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
    fingerprint: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """One recorded op call.

    ``outputs`` maps slots to digests; ``step``, ``module`` and ``number`` say which call it was;
    ``shapes``, ``devices`` and ``dtype`` (of the first one) are those of its input tensors;
    ``fingerprint`` is that of the environment. ``reason`` says why it cannot be replayed, or is
    null.
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
    devices: frozenset[str] = frozenset()
    fingerprint: Mapping[str, str] = field(default_factory=dict)

    @property
    def call(self) -> str:
        """What a replay runs, in words: ``aten.neg.default on float32[4]``."""
        shapes = ", ".join(f"[{','.join(map(str, shape))}]" for shape in self.shapes[:6])
        return f"{self.op} on {self.dtype} {shapes}".rstrip() if shapes else self.op

    def obstacle(self, *, trust: bool = False) -> str | None:
        """Why it cannot be run, or only where the user trusts it; None where it can."""
        foreign = refused(self.op)
        if foreign is None or refused(self.op, trust=trust) is not None:
            return self.reason if foreign is None else f"it would run {self.call}, and {foreign}"
        return None if is_about_trust(self.reason) else self.reason


def read_capsule(folder: Path) -> Capsule:
    """Read ``capsule.json`` of a folder; raises `RecordingError` where it is none."""
    content = _decoded(folder, _Content)
    if content.format != CAPSULE_FORMAT:
        raise RecordingError(
            f"{folder} is a capsule of format {content.format[:40]!r}.", hint=_HINT
        )
    tensors = content.call.tensors
    _check(folder, content)
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
        devices=frozenset(tensor.device for tensor in tensors),
        fingerprint=content.fingerprint,
    )


def _check(folder: Path, content: _Content) -> None:
    """Raise `RecordingError` for numbers that no call has, and for names that no op has."""
    tensors, slots = content.call.tensors, [output.slot for output in content.outputs]
    if parts_of(content.call.op) is None:
        raise RecordingError(
            f"{folder} names {content.call.op[:80]!r}, which is not the name of an op.", hint=_HINT
        )
    if len(tensors) > _MOST_TENSORS or any(not _possible(one.shape) for one in tensors):
        raise RecordingError(f"{folder} describes a tensor that cannot be.", hint=_HINT)
    if len(set(slots)) < len(slots) or not all(0 <= slot < _MOST_SLOT for slot in slots):
        raise RecordingError(f"{folder} names an output that cannot be, or twice.", hint=_HINT)


def _possible(shape: Sequence[int]) -> bool:
    # in this order: a long list of huge numbers is never multiplied
    sizes = len(shape) <= MAX_DIMS and all(0 <= size <= MAX_BYTES for size in shape)
    return sizes and math.prod(size for size in shape if size) <= MAX_BYTES


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
        self._require_sane(layout, dtype.itemsize, len(whole))
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

    def _require_sane(self, layout: Layout, item: int, stored: int) -> None:
        """Strides of 0 and overlaps let a few bytes claim to be terabytes."""
        size = math.prod(layout.shape) * item
        if size > _FREE + _GROWTH * stored:
            raise RecordingError(
                f"{self.folder / 'capsule.json'} claims a tensor of {size:,} bytes over {stored:,} "
                "that are stored.",
                hint="The capsule is damaged, or was made to take all memory. Record it again.",
            )

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
        there = 0 <= layout.storage < len(call.storages)
        lengths = len(layout.shape) == len(layout.stride)
        steps = all(0 <= number <= MAX_BYTES for number in (layout.offset, *layout.stride))
        if not (there and lengths and steps and 0 <= layout.alignment < MAX_BYTES):
            raise RecordingError(f"{folder} describes a tensor that cannot be.", hint=_HINT)
    raw = _decoded(folder, dict[str, Any])
    args, kwargs = raw["call"].get("args"), raw["call"].get("kwargs")
    whole = isinstance(args, list) and isinstance(kwargs, dict)
    if not whole or not all(_is_value(one, len(call.tensors)) for one in (*args, *kwargs.values())):
        raise RecordingError(f"{folder} describes an argument that cannot be.", hint=_HINT)
    return RecordedCall(
        folder=capsule.folder,
        op=call.op,
        schema=call.schema,
        document=raw["call"],
        tensors=call.tensors,
        state=content.state or {},
        fingerprint=content.fingerprint,
    )


def _is_value(value: object, tensors: int, depth: int = 0) -> bool:
    """Whether it is an argument as the protocol spells one: a kind, and what it holds."""
    if not isinstance(value, dict) or len(value) != 1 or depth > _DEEPEST:
        return False
    ((kind, content),) = value.items()
    if kind == "tensor":
        return type(content) is int and 0 <= content < tensors
    if kind == "list":
        inner = isinstance(content, list)
        return inner and all(_is_value(one, tensors, depth + 1) for one in content)
    return True


T = TypeVar("T")


def _decoded(folder: Path, kind: type[T]) -> T:
    path = folder / "capsule.json"
    try:
        return read_json(path, kind, most=_LARGEST, refusal=RecordingError, hint=_HINT)
    except (FileNotFoundError, NotADirectoryError):
        raise RecordingError(f"{folder} holds no capsule.", hint=_HINT) from None


def _stored(path: Path, key: str, count: int) -> bytes:
    header = read_header(path)
    entry = header.entries.get(key)
    if entry is None or entry.data_offsets[1] - entry.data_offsets[0] != count:
        raise RecordingError(f"{path} does not hold the {count} bytes of {key[:80]!r}.", hint=_HINT)
    return read_entry(path, header, key, count)
