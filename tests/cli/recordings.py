"""Small recordings, made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.recordings import RecordingBuilder


def write_recording(folder: Path, value: float = 0.5, *, complete: bool = True) -> Path:
    """Two steps of a network; ``value`` is what the second one returns."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    status = "completed" if complete else "raised"
    with RecordingBuilder(folder, complete=complete, status=status) as rec:
        for returned in (0.25, value):
            y = np.full((2, 3), returned, dtype=np.float32)
            with rec.step("Net", inputs={"x": x}) as step:
                step.op("aten.mul.Tensor", inputs=[x], outputs=[y], module="scale")
                step.module("scale", outputs={"": y})
                step.root({"": y}, keep=True)
    return folder


def write_chain(folder: Path, value: float = 0.5) -> Path:
    """Two networks: the second one takes what the first one returned, which is ``value``."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    hidden = np.full((2, 3), value, dtype=np.float32)
    with RecordingBuilder(folder) as rec:
        for name, given, returned in (("Encoder", x, hidden), ("Head", hidden, hidden + 1)):
            with rec.step(name, inputs={"x": given}) as step:
                step.op("aten.mul.Tensor", inputs=[given], outputs=[returned])
                step.root({"": returned}, keep=True)
    return folder
