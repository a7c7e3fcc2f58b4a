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
