"""Making a call smaller while two environments still differ on it.

The memory of the recorded call is not copied: a smaller tensor is a window into it, so thousands
of candidates need no bytes of their own. In each round all windows of a dimension are tried at
once, the smallest that still differs is kept, and the round after looks at the next dimension,
until none can be made smaller (the idea is that of delta debugging: Zeller and Hildebrandt, 2002,
"Simplifying and Isolating Failure-Inducing Input").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from forkpoint.diagnose import Dimension, dimensions
from forkpoint.store import DTYPES, Layout, RecordedCall

MOST_ROUNDS = 24
_MOST_PLACES = 48  # windows of one size that are tried
_SIMPLE = (0.0, 1.0)

Trial = Callable[[Sequence[Mapping[str, Any]]], Sequence[bool]]
"""Tries calls in both environments; whether they differ on each. One that does not run is false."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The smallest call found, in how many rounds and of how many calls tried.

    ``constant`` are the tensors of which every value could be the same number.
    """

    call: RecordedCall
    rounds: int
    tried: int
    constant: Mapping[int, float]


def reduce_call(call: RecordedCall, differs: Trial) -> Reduced:
    """Reduce a call that differs; the answer differs, too, by ``differs``.

    Raises `ValueError` where the call itself does not differ.
    """
    if not differs([call.document])[0]:
        raise ValueError("the call does not differ, so it cannot be made smaller")
    rounds = tried = 1
    settled: set[str] = set()
    while rounds < MOST_ROUNDS:
        candidates = list(_windows(call, settled))
        if not candidates:
            break
        name = candidates[0][0]
        answers = differs([one.document for _, _, one in candidates])
        rounds, tried = rounds + 1, tried + len(candidates)
        smaller = [one for one, yes in zip(candidates, answers, strict=True) if yes]
        if smaller:
            # the smallest window; of these the first
            _, _, call = min(smaller, key=lambda one: one[1])
            settled.clear()
        else:
            settled.add(name)
    constant: dict[int, float] = {}
    simpler = list(_constants(call))
    answers = differs([document for _, _, document in simpler]) if simpler else []
    tried += len(simpler)
    for (tensor, value, _), yes in zip(simpler, answers, strict=True):
        if yes and tensor not in constant:
            together = _constant(call, {**constant, tensor: value})
            tried += 1
            if differs([together])[0]:
                constant[tensor] = value
    return Reduced(call, rounds, tried, constant)


def _windows(call: RecordedCall, settled: set[str]) -> Iterator[tuple[str, int, RecordedCall]]:
    """All windows of the first dimension that is not settled: its name, the size, the call."""
    for ways in dimensions(call, ()):
        key = str(ways[0].places[0])
        if key in settled or ways[0].size < 2:
            continue
        for way in ways:
            for start, size in _places(way.size):
                yield key, size, window(call, way, start, size)
        return


def _places(whole: int) -> Iterator[tuple[int, int]]:
    """Windows to try: single places, then sizes in between, at the start, middle and end."""
    step = max(1, whole // _MOST_PLACES)
    yield from ((start, 1) for start in range(0, whole, step))
    sizes = {whole * part // 24 for part in range(1, 24)} | {whole - 1, 2, 3, 4, 8}
    for size in sorted(size for size in sizes if 1 < size < whole):
        for start in dict.fromkeys((0, (whole - size) // 2, whole - size)):
            yield start, size


def window(call: RecordedCall, dimension: Dimension, start: int, size: int) -> RecordedCall:
    """The call with a dimension cut to ``size`` places from ``start`` on, over the same memory."""
    document = deepcopy(dict(call.document))
    layouts = list(call.tensors)
    for tensor, axis in dimension.places:
        layouts[tensor] = _cut(layouts[tensor], axis, start, size)
    for tensor, layout in enumerate(layouts):
        document["tensors"][tensor].update(
            shape=list(layout.shape), offset=layout.offset, alignment=layout.alignment
        )
    dimension.resize_arguments(document, size)
    return replace(call, document=document, tensors=tuple(layouts))


def _cut(layout: Layout, axis: int, start: int, size: int) -> Layout:
    shape = (*layout.shape[:axis], size, *layout.shape[axis + 1 :])
    skipped = start * layout.stride[axis]
    item = DTYPES[layout.dtype].itemsize if layout.dtype in DTYPES else 1
    return msgspec.structs.replace(
        layout,
        shape=shape,
        offset=layout.offset + skipped,
        alignment=(layout.alignment + skipped * item) % 64,
    )


def _constants(call: RecordedCall) -> Iterator[tuple[int, float, Mapping[str, Any]]]:
    """Each floating tensor made of one number: zeros, then ones."""
    for tensor, layout in enumerate(call.tensors):
        if not layout.dtype.startswith(("float", "bfloat")) or 0 in layout.shape:
            continue
        if sum(other.storage == layout.storage for other in call.tensors) > 1:
            continue
        for value in _SIMPLE:
            yield tensor, value, _constant(call, {tensor: value})


def _constant(call: RecordedCall, values: Mapping[int, float]) -> Mapping[str, Any]:
    document = deepcopy(dict(call.document))
    for tensor, value in values.items():
        number = call.tensors[tensor].storage
        size = document["storages"][number]["bytes"]
        recipe = {"kind": "constant", "value": {"float": value.hex()}}
        document["storages"][number] = {"fill": recipe, "bytes": size}
    return document
