"""Recipes for numbers like the recorded ones: their mean and spread, or their range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from forkpoint.store import RecordedCall

FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
"""The dtypes whose values are drawn at random."""

_SAMPLE = 1 << 20  # elements that are looked at for a mean and a spread
_NORMAL: Mapping[str, Any] = {"kind": "normal", "seed": 0, "scale": 1.0, "shift": "0x0.0p+0"}


def recipe(call: RecordedCall, number: int) -> Mapping[str, Any]:
    """A fill of the protocol for numbers like those of the n-th tensor."""
    layout = call.tensors[number]
    recorded = call.values(number)
    if recorded is None:  # the capsule has a recipe of its own
        known = call.document["storages"][layout.storage].get("fill")
        return dict(known) if known else _NORMAL
    values = recorded.reshape(-1)[:_SAMPLE]
    if layout.dtype in FLOATS:
        return _floating(values.astype(np.float64))
    if layout.dtype.startswith("complex"):
        return _NORMAL
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return {"kind": "integers", "seed": 0, "low": low, "high": high + 1}


def _floating(values: np.ndarray[Any, np.dtype[np.float64]]) -> Mapping[str, Any]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return _NORMAL
    if finite.size == values.size and finite.min() < finite.max():
        # a power of two and a shift of few digits: both are exact in every dtype
        spread = float(finite.std()) or 1.0
        mean = float(np.float16(np.clip(finite.mean(), -6e4, 6e4)))
        scale = 2.0 ** round(math.log2(spread))
        return {"kind": "normal", "seed": 0, "scale": scale, "shift": mean.hex()}
    # masks: minus infinity beside zeros; values that are all the same
    different, counts = np.unique(finite, return_counts=True)
    most = float(different[counts.argmax()])
    return {"kind": "constant", "value": {"float": most.hex()}}
