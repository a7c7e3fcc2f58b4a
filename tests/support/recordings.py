"""Builds recordings as the worker writes them, one event at a time, without torch.

>>> with RecordingBuilder(folder) as rec:
...     with rec.step("Net", inputs={"x": x}) as step:
...         step.op("aten.mm.default", inputs=[x, w], outputs=[y], module="linear")
...         step.module("linear", outputs={"": y})
...         step.root({"": y})
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from forkpoint_worker import schema

Array = NDArray[Any]
SHARD = "00001.safetensors"


def digest_of(*arrays: Array) -> int:
    """A 64-bit signed digest over bits, dtypes and shapes."""
    total = hashlib.blake2b(digest_size=8)
    for array in arrays:
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(total.digest(), "little", signed=True)


class RecordingBuilder:
    """Writes one recording; leave the context to commit it and write its manifest."""

    def __init__(self, folder: Path, **manifest: Any) -> None:
        self.folder = folder
        (folder / "tensors").mkdir(parents=True)
        self.db = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
        for statement in (*schema.TABLES.values(), *schema.INDEXES.values()):
            self.db.execute(statement)
        self.db.execute("BEGIN")
        self.manifest = {
            "format": schema.FORMAT,
            "complete": True,
            "name": folder.name,
            "level": "op",
            "status": "completed",
            "script": "/tmp/encode.py",
            "argv": ["--batch-size", "32"],
            "settings": {"threads": "1"},
            "fingerprint": {"torch": "2.9.1"},
            "digest": {"name": "test"},
            "error": None,
            "started": "2026-11-23T20:00:00",
            "seconds": 1.5,
            **manifest,
        }
        self._names: dict[str, int] = {}
        self._tensors = self._events = self._steps = 0
        self._bytes: dict[str, Array] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.manifest.setdefault("steps", self._steps)
        if self._bytes:
            save_file(self._bytes, self.folder / "tensors" / SHARD)
        self.db.execute("COMMIT")
        self.db.close()
        (self.folder / "manifest.json").write_text(json.dumps(self.manifest))

    def name(self, text: str) -> int:
        if text not in self._names:
            self._names[text] = len(self._names) + 1
            self.db.execute("INSERT INTO name VALUES (?, ?)", (self._names[text], text))
        return self._names[text]

    def tensor(
        self,
        array: Array,
        *,
        keep: bool = False,
        view_of: int | None = None,
        source: int = schema.SOURCE_OP,
    ) -> int:
        """A tensor row for the array; a view of another tensor has no digest."""
        self._tensors += 1
        shape = ",".join(map(str, array.shape))
        stride = ",".join(str(s // array.itemsize) for s in array.strides)
        row = (
            self._tensors,
            *(self.name(text) for text in (str(array.dtype), shape, stride, "cpu")),
            schema.SOURCE_VIEW if view_of else source,
            view_of,
            None if view_of else digest_of(array),
        )
        self.db.execute("INSERT INTO tensor VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        if keep:
            self._keep(self._tensors, array)
        return self._tensors

    def _keep(self, number: int, array: Array) -> None:
        key = f"{digest_of(array) % 2**64:016x}"
        stored = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.kind == "c":
            stored = np.frombuffer(stored.tobytes(), dtype=np.uint8)
        self._bytes[key] = stored
        self.db.execute("INSERT INTO stored VALUES (?, ?, ?)", (number, SHARD, key))

    def event(
        self,
        kind: int,
        *,
        step: int,
        module: str = "",
        op: str = "",
        call: int = 0,
        signature: str = "",
        inside: bool = True,
        inputs: Sequence[tuple[str, int]] = (),
        outputs: Sequence[tuple[str, int]] = (),
        digest: int | None = None,
    ) -> int:
        self._events += 1
        texts = (
            self.name(module),
            self.name(op) if op else 0,
            call,
            self.name(signature) if signature else 0,
        )
        row = (self._events, step, int(inside), kind, *texts, digest)
        self.db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        for role, values in ((schema.ROLE_IN, inputs), (schema.ROLE_OUT, outputs)):
            for slot, (name, tensor) in enumerate(values):
                self.db.execute(
                    "INSERT INTO value VALUES (?, ?, ?, ?, ?)",
                    (self._events, role, slot, self.name(name), tensor),
                )
        return self._events

    def weights(self, step: int, arrays: Mapping[str, Array], *, module: str = "") -> int:
        """A weights event of the step."""
        values = [(k, self.tensor(v, source=schema.SOURCE_WEIGHT)) for k, v in arrays.items()]
        return self.event(
            schema.KIND_WEIGHTS,
            step=step,
            module=module,
            inputs=values,
            digest=digest_of(*arrays.values()),
        )

    def plain(self, event: int, role: int, structure: str, values: Mapping[str, str]) -> None:
        """The structure of what an event took or gave, and its values that are no tensors."""
        rows = [(schema.STRUCTURE, "structure", structure)]
        rows += [(slot, *pair) for slot, pair in enumerate(values.items())]
        for slot, name, text in rows:
            row = (event, role, slot, self.name(name), self.name(text))
            self.db.execute("INSERT INTO plain VALUES (?, ?, ?, ?, ?)", row)

    def unread(self, event: int, role: int, values: Mapping[str, str]) -> None:
        """Values that could not be read, and why."""
        for slot, (name, why) in enumerate(values.items()):
            row = (event, role, slot, self.name(name), self.name(why))
            self.db.execute("INSERT INTO unread VALUES (?, ?, ?, ?, ?)", row)

    def metric(self, event: int, slot: int, other: int, metrics: Mapping[str, Any]) -> None:
        """A measured output."""
        row = (event, slot, other, json.dumps(metrics))
        self.db.execute("INSERT INTO metric VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def step(
        self,
        module: str = "Net",
        *,
        inputs: Mapping[str, Array] | None = None,
        plain: str = "",
        level: int = schema.OP,
        state: int = schema.COMPLETE,
    ) -> Iterator[StepBuilder]:
        """One step: its input event first; the caller writes the rest."""
        number = self._steps
        self._steps += 1
        row = (number, self.name(module), level, state, 0)
        self.db.execute("INSERT INTO step VALUES (?, ?, ?, ?, ?)", row)
        arrays = dict(inputs or {})
        values = [(k, self.tensor(v, source=schema.SOURCE_INPUT)) for k, v in arrays.items()]
        text = np.frombuffer(plain.encode(), dtype=np.uint8)
        self.event(
            schema.KIND_INPUT,
            step=number,
            signature=plain,
            inputs=values,
            digest=digest_of(*arrays.values(), *([text] if plain else [])),
        )
        yield StepBuilder(self, number)


class StepBuilder:
    """Writes the events of one step; an array seen before in it keeps its tensor."""

    def __init__(self, recording: RecordingBuilder, number: int) -> None:
        self.recording = recording
        self.number = number
        self._calls: Counter[tuple[int, str, str]] = Counter()
        self._views: dict[int, tuple[Array, int]] = {}

    def view(self, array: Array, *, of: Array) -> Array:
        """Register the array as an unhashed view of another; returns it."""
        base = self.recording.tensor(of)
        self._views[id(array)] = (array, self.recording.tensor(array, view_of=base))
        return array

    def op(
        self,
        op: str,
        *,
        inputs: Sequence[Array] = (),
        outputs: Sequence[Array] = (),
        module: str = "",
        keep: bool = False,
        signature: str | None = None,
    ) -> int:
        text = signature or ", ".join(f"{a.dtype}[{list(a.shape)}]" for a in inputs)
        hashed = [a for a in outputs if id(a) not in self._views]
        return self.recording.event(
            schema.KIND_OP,
            step=self.number,
            module=module,
            op=op,
            call=self._call(schema.KIND_OP, module, op),
            signature=f"{op}({text})",
            inputs=[(f"[{i}]", self._tensor(a, keep)) for i, a in enumerate(inputs)],
            outputs=[(f"[{i}]", self._tensor(a, keep)) for i, a in enumerate(outputs)],
            digest=digest_of(*hashed) if hashed else None,
        )

    def module(self, path: str, outputs: Mapping[str, Array], *, keep: bool = False) -> int:
        arrays = list(outputs.values())
        return self.recording.event(
            schema.KIND_MODULE,
            step=self.number,
            module=path,
            call=self._call(schema.KIND_MODULE, path, ""),
            outputs=[(name, self._tensor(a, keep)) for name, a in outputs.items()],
            digest=digest_of(*arrays) if arrays else None,
        )

    def root(self, outputs: Mapping[str, Array], *, keep: bool = False) -> int:
        """The outermost module's own event, the last of its step."""
        return self.module("", outputs, keep=keep)

    def _tensor(self, array: Array, keep: bool) -> int:
        if id(array) in self._views:
            return self._views[id(array)][1]
        return self.recording.tensor(array, keep=keep)

    def _call(self, kind: int, module: str, op: str) -> int:
        call = self._calls[kind, module, op]
        self._calls[kind, module, op] += 1
        return call
