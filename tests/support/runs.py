"""Small random runs: what each step did is a value, written as the worker would write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forkpoint_worker import schema
from tests.support.recordings import RecordingBuilder, StepBuilder, digest_of

WEIGHT = np.full((3, 3), 0.5, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Did:
    """One step: what it was given and what of it is other than in the plain step.

    Its two modules are `inner` and `outer`; ``inner`` nudges what the first returns and ``outer``
    what the second does, ``hidden`` says that the outermost module takes both away again.
    """

    rows: int = 2
    given: float = 0.0
    weight: float = 0.0
    inner: float = 0.0
    outer: float = 0.0
    hidden: bool = False
    other_op: bool = False
    level: int = schema.OP
    state: int = schema.COMPLETE
    loss: str | None = None
    key: str = "logits"
    unread: str = ""
    unread_input: str = ""
    model: str = "Net"
    thread: int = 0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One call of a watched function."""

    argument: str = "1"
    result: float = 0.0
    unread: str = ""


def write(
    folder: Path, steps: Sequence[Did], watched: Sequence[Watched] = (), **manifest: Any
) -> Path:
    """A recording of these steps."""
    weights: dict[str, float] = {}
    with RecordingBuilder(folder, **manifest) as rec:
        for number, did in enumerate(steps):
            x = np.full((did.rows, 3), number + 1 + did.given, dtype=np.float32)
            with rec.step(did.model, inputs={"x": x}, level=did.level, state=did.state) as step:
                rec.db.execute("UPDATE step SET thread = ? WHERE id = ?", (did.thread, number))
                if weights.get(did.model) != did.weight:
                    weights[did.model] = did.weight
                    rec.weights(number, {"w": WEIGHT + np.float32(did.weight), "b": WEIGHT[0]})
                if did.unread_input:
                    found = rec.db.execute("SELECT max(id) FROM event WHERE kind = 2").fetchone()
                    rec.unread(found[0], schema.ROLE_IN, {did.unread_input: "generator"})
                if did.state == schema.COMPLETE:
                    _step(rec, step, did, x)
        for number, call in enumerate(watched):
            _watched(rec, call, number, len(steps) - 1)
    return folder


def _step(rec: RecordingBuilder, step: StepBuilder, did: Did, x: np.ndarray) -> None:
    hidden = x * 2 + np.float32(did.inner)
    out = hidden * 3 + np.float32(did.outer)
    returned = x * 5 if did.hidden else out
    if did.level >= schema.OP:
        if did.other_op:
            step.op("aten.exp.default", inputs=[x], outputs=[np.exp(x)], module="inner")
        step.op("aten.mul.Tensor", inputs=[x], outputs=[hidden], module="inner")
    if did.level >= schema.MODULE:
        step.module("inner", {"": hidden})
    if did.level >= schema.OP:
        step.op("aten.addmm.default", inputs=[hidden], outputs=[out], module="outer")
    if did.level >= schema.MODULE:
        step.module("outer", {"": out})
    event = step.root({did.key: returned}, keep=True)
    values = {} if did.loss is None else {"loss": did.loss}
    structure = f"dict({', '.join([did.key, *values])})"
    rec.plain(event, schema.ROLE_OUT, structure, values)
    rehash(rec, event, returned, [structure, *values.values()])
    if did.unread:
        rec.unread(event, schema.ROLE_OUT, {did.unread: "sparse_bsr tensor of (2, 2)"})


def rehash(
    rec: RecordingBuilder, event: int, array: np.ndarray | None, texts: Sequence[str]
) -> None:
    """Give an event the digest of a tensor and of texts, as outermost modules have it."""
    parts = [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]
    digest = digest_of(*([] if array is None else [array]), *parts)
    rec.db.execute("UPDATE event SET digest = ? WHERE id = ?", (digest, event))


def _watched(rec: RecordingBuilder, call: Watched, number: int, step: int) -> None:
    result = np.full(4, 1 + call.result, dtype=np.float32)
    event = rec.event(
        schema.KIND_WATCH,
        step=step,
        op="helper:score",
        call=number,
        inside=False,
        signature=f"x={call.argument} -> ",
        outputs=[("result", rec.tensor(result, keep=True))],
    )
    given: Mapping[str, str] = {"x": call.argument}
    rec.plain(event, schema.ROLE_IN, "x", given)
    rec.plain(event, schema.ROLE_OUT, "Tensor", {})
    rehash(rec, event, result, ["Tensor"])
    if call.unread:
        rec.unread(event, schema.ROLE_OUT, {call.unread: "generator"})
