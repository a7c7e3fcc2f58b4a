"""A world without torch: capsules written by hand, and answers by what a fault looks at.

A sweep only ever sees whether two sides gave the same digests, so that its reasoning can be tried
on hundreds of calls in a moment. `test_held_out` does the same with real kernels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from forkpoint.diagnose.experiments.findings import Pair, Sides
from forkpoint.diagnose.experiments.sweeping import Swept, sweeping
from forkpoint.host import Call, Replayed, ReplayedOutput
from forkpoint.model import Origin

ITEM = 4
Document = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """One tensor of a call, as a kernel sees it."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    alignment: int
    dtype: str
    seed: int | None  # of its random values; None for the recorded ones

    @property
    def contiguous(self) -> bool:
        step = 1
        for size, own in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and own != step:
                return False
            step *= size
        return True

    @property
    def numel(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Seen:
    """One call, as a fault sees it: the tensors, lists of them, and plain arguments by number."""

    tensors: tuple[View, ...]
    args: tuple[Any, ...]

    @property
    def x(self) -> View:
        return self.tensors[0]


Fault = Callable[[Seen], bool]


@dataclass(frozen=True)
class Op:
    """An op of the world: its schema, recorded tensors (shape, or shape and strides), arguments.

    ``legal`` says which calls it takes.
    """

    schema: str
    tensors: tuple[View, ...]
    args: tuple[Document, ...]
    legal: Fault = lambda _: True


def view(*shape: int, stride: Sequence[int] | None = None, offset: int = 0) -> View:
    """A recorded float32 tensor."""
    dense = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    return View(shape, tuple(stride or dense), offset, offset * ITEM % 64, "float32", None)


def swept(op: Op, fault: Fault, folder: Path, *, fresh: int = 16) -> Swept:
    """What a sweep says of an op that has a fault on one side."""
    write(op, folder)
    pair = Pair(benches=(), folders=(folder, folder))  # type: ignore[arg-type] - nothing runs
    origin = Origin(
        op="aten.op.default", signature="", modules=(), shapes=(op.tensors[0].shape,), steps=(0,)
    )
    running = sweeping(pair, origin, fresh)
    calls = next(running)
    while True:
        try:
            calls = running.send({call.id: _answer(op, fault, call) for call in calls})
        except StopIteration as ended:
            found: Swept = ended.value
            return found


def write(op: Op, folder: Path) -> None:
    """The op's recorded call as a capsule."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    spans = [
        one.offset + 1 + sum((n - 1) * s for n, s in zip(one.shape, one.stride, strict=True))
        for one in op.tensors
    ]
    bytes_ = {
        str(number): chance.standard_normal(span).astype(np.float32).view(np.uint8)
        for number, span in enumerate(spans)
    }
    save_file(bytes_, folder / "tensors.safetensors")
    document = {
        "op": "aten.op.default",
        "schema": op.schema,
        "args": list(op.args),
        "kwargs": {},
        "tensors": [
            {
                "dtype": "float32", "shape": one.shape, "stride": one.stride, "offset": one.offset,
                "storage": number, "alignment": one.alignment, "device": "cpu",
            }
            for number, one in enumerate(op.tensors)
        ],
        "storages": [{"key": key, "bytes": len(data)} for key, data in bytes_.items()],
    }  # fmt: skip
    content = {"format": "forkpoint.capsule/1", "call": document, "outputs": []}
    (folder / "capsule.json").write_text(json.dumps(content))


def _answer(op: Op, fault: Fault, call: Call) -> Sides:
    assert call.call is not None
    seen = _seen(call.call)
    if not op.legal(seen):
        refused = Replayed(id=call.id, status="raised", reason="the op does not take it")
        return refused, refused
    sides = ("good", "bad" if fault(seen) else "good")
    one, two = (
        Replayed(
            id=call.id,
            status="ran",
            outputs=(ReplayedOutput(slot=0, dtype="float32", shape=(), digest=text),),
        )
        for text in sides
    )
    return one, two


def _seen(document: Document) -> Seen:
    views = [
        View(
            shape=tuple(one["shape"]),
            stride=tuple(one["stride"]),
            offset=one["offset"],
            alignment=one["alignment"],
            dtype=one["dtype"],
            seed=document["storages"][one["storage"]].get("fill", {}).get("seed"),
        )
        for one in document["tensors"]
    ]
    for one, layout in zip(document["tensors"], views, strict=True):
        span = 1 + sum((n - 1) * s for n, s in zip(layout.shape, layout.stride, strict=True))
        room = document["storages"][one["storage"]]["bytes"]
        size = {"float64": 8, "float32": 4}.get(layout.dtype, 2)
        assert (layout.offset + span) * size <= room, "a tensor reaches beyond its bytes"
    return Seen(tuple(views), tuple(_plain(value, views) for value in document["args"]))


def _plain(value: Document, views: Sequence[View]) -> Any:
    ((kind, content),) = value.items()
    if kind == "tensor":
        return views[content]
    if kind == "list":
        return [_plain(item, views) for item in content]
    return float.fromhex(content) if kind == "float" else content
