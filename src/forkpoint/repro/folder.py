"""Writing a reproducer: script, inputs, expected results, and a text for an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forkpoint.errors import RecordingError
from forkpoint.repro.script import Input, input_names, render_script
from forkpoint.store import RecordedCall

_ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of the call, for the script and for the issue.

    ``constant`` are tensors made of one number. ``lines`` are as `render_script` takes them.
    """

    title: str
    slots: tuple[int, ...]
    constant: Mapping[int, float] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write_folder(folder: Path, call: RecordedCall, told: Told, *, names: Sequence[str]) -> None:
    """Write ``repro.py`` and ``inputs.bin``; ``names`` are words for the tensors.

    Tensors are laid out densely, in the memory order that they had. Raises `RecordingError`
    where the capsule holds something that a script cannot.
    """
    data = bytearray()
    inputs = []
    for number, name in enumerate(input_names(names)):
        inputs.append(_input(call, number, name, data, told.constant))
    try:
        text = render_script(
            call.document, inputs, title=told.title, slots=told.slots, lines=told.lines
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RecordingError(
            f"No script can be made of {call.folder}: {error}.",
            hint="'forkpoint replay' runs such a capsule all the same.",
        ) from error
    (folder / "repro.py").write_text(text, encoding="utf-8")
    (folder / "inputs.bin").write_bytes(bytes(data))


def _input(
    call: RecordedCall, number: int, name: str, data: bytearray, constant: Mapping[int, float]
) -> Input:
    layout = call.tensors[number]
    about: dict[str, Any] = {
        "name": name, "dtype": layout.dtype, "shape": layout.shape, "device": layout.device,
    }  # fmt: skip
    if number in constant:
        return Input(**about, stride=(), constant=constant[number])
    values = call.values(number)
    if values is None:
        raise RecordingError(
            f"{call.folder} holds a tensor of dtype {layout.dtype}, which has no plain form.",
            hint="'forkpoint replay' runs such a capsule all the same.",
        )
    order = sorted(range(values.ndim), key=lambda axis: (-layout.stride[axis], axis))
    dense = np.ascontiguousarray(values.transpose(order))
    stride = [0] * values.ndim
    for place, axis in enumerate(order):
        stride[axis] = dense.strides[place] // dense.itemsize
    data.extend(b"\0" * (-len(data) % _ALIGNMENT))
    start = len(data)
    data.extend(dense.tobytes())
    return Input(**about, stride=tuple(stride), start=start, count=dense.size)
