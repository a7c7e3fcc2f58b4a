"""The built-in set of op calls: what models compute, over dtypes, sizes and random inputs.

Calls are at the level of ATen: a change of which op a Python function calls is not among what
they can show. Inputs are named by fills (see `forkpoint_worker`), so nothing is stored, and the
same call has the same input bits in every release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forkpoint.bisect import _catalogue_entry as ops
from forkpoint.bisect._catalogue_attention import ATTENTION
from forkpoint.bisect._catalogue_gradients import GRADIENTS
from forkpoint.bisect._catalogue_layers import LAYERS
from forkpoint.bisect._catalogue_matrices import MATRICES
from forkpoint.bisect._catalogue_numbers import NUMBERS
from forkpoint.bisect._catalogue_ops import OPS
from forkpoint.bisect._catalogue_planes import PLANES
from forkpoint.bisect._catalogue_products import PRODUCTS

TIMES = "\N{MULTIPLICATION SIGN}"
BYTES = {
    "float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int64": 8, "int32": 4,
    "int8": 1, "uint8": 1, "bool": 1,
    "complex64": 8, "complex128": 16,
}  # fmt: skip
COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}
ENTRIES = (
    *OPS, *ATTENTION, *LAYERS, *PRODUCTS, *GRADIENTS, *PLANES, *NUMBERS, *MATRICES,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueCall:
    """One call with one random input; ``document`` is a DOCUMENT of the worker's protocol.

    Calls with the same ``row`` differ in nothing but their random input.
    """

    row: str
    op: str
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    detail: str
    document: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """A hash over the whole call, inputs included."""
        text = json.dumps(self.document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def catalogue(*, inputs: int = 4, only: Sequence[str] = ()) -> tuple[CatalogueCall, ...]:
    """All calls: ``inputs`` random inputs for each op, dtype and size.

    A multiple of it where an entry says that its changes are rare, and one input where nothing
    is random.
    ``only`` keeps the ops whose name contains one of these words.
    """
    return tuple(
        call
        for entry in ENTRIES
        if not only or any(word in entry.op for word in only)
        for call in calls_of(entry, inputs)
    )


def calls_of(entry: ops.Entry, inputs: int) -> Iterator[CatalogueCall]:
    """The calls of one entry: for each of its dtypes as many inputs as it takes."""
    for dtype in entry.dtypes:
        for seed in range(entry.inputs(dtype, inputs)):
            writer = _Writer(dtype, _seed(entry, dtype, seed))
            args = [writer.value(argument) for argument in entry.args]
            kwargs = {name: writer.value(value) for name, value in entry.kwargs.items()}
            document = {
                "op": entry.op,
                "schema": "",
                "args": args,
                "kwargs": kwargs,
                "tensors": writer.tensors,
                "storages": writer.storages,
            }
            shapes = tuple(tuple(tensor["shape"]) for tensor in writer.tensors)
            sizes = ", ".join(TIMES.join(map(str, shape)) or "scalar" for shape in shapes)
            detail = f"{entry.detail} {sizes}".strip()
            row = f"{entry.op} {dtype} {detail}"
            yield CatalogueCall(
                row=row, op=entry.op, dtype=dtype, shapes=shapes, detail=detail, document=document
            )


def _seed(entry: ops.Entry, dtype: str, number: int) -> int:
    """A seed of its own for each call, the same wherever the entry stands in the list."""
    text = f"{entry.op} {entry.args} {dtype} {number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _strides(operand: ops.Operand) -> list[int]:
    """How many elements lie between neighbours of each dimension."""
    count = len(operand.shape)
    order = list(operand.order or range(count))
    if operand.transposed:
        order[-2:] = order[:-3:-1]
    stride = [0] * count
    step = operand.every
    for dimension in reversed(order):
        stride[dimension] = step
        step *= operand.shape[dimension]
    return stride


class _Writer:
    """Turns arguments into VALUEs, and collects the tensors that they name."""

    def __init__(self, dtype: str, seed: int) -> None:
        self.tensors: list[dict[str, Any]] = []
        self.storages: list[dict[str, Any]] = []
        self._dtype = dtype
        self._seed = seed

    def value(self, argument: ops.Argument) -> dict[str, Any]:
        """One argument as the protocol spells it."""
        if argument is None:
            return {"none": True}
        if isinstance(argument, ops.Operand):
            return {"tensor": self._tensor(argument)}
        if isinstance(argument, ops.Dtype):
            return {"dtype": argument.name or self._dtype}
        if isinstance(argument, float):
            return {"float": argument.hex()}
        if isinstance(argument, bool | int | str):
            return {type(argument).__name__: argument}
        return {"list": [self.value(one) for one in argument]}

    def _tensor(self, operand: ops.Operand) -> int:
        dtype = operand.dtype or self._dtype
        if dtype == ops.COMPLEX:
            dtype = COMPLEX_OF[self._dtype]
        shape, stride = list(operand.shape), _strides(operand)
        index = len(self.tensors)
        self.tensors.append(
            {
                "dtype": dtype,
                "shape": shape,
                "stride": stride,
                "offset": 0,
                "storage": index,
                "conj": False,
                "neg": False,
                "digest": None,
                "alignment": 0,
                "device": "cpu",
                "requires_grad": False,
            }
        )
        last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        size = (last + 1) * BYTES[dtype]
        self.storages.append({"fill": self._fill(operand, index), "bytes": size})
        return index

    def _fill(self, operand: ops.Operand, index: int) -> dict[str, Any]:
        seed = self._seed * 16 + index
        if operand.fill == "constant":
            return {"kind": "constant", "value": {"int": operand.high}}
        if operand.fill == "steps":
            return {"kind": "steps", "step": operand.high}
        if operand.fill == "integers":
            return {"kind": "integers", "seed": seed, "low": 0, "high": operand.high}
        if operand.fill == "definite":
            return {"kind": "definite", "seed": seed, "size": operand.shape[-1]}
        shift = float(operand.shift).hex()
        return {"kind": operand.fill, "seed": seed, "scale": operand.scale, "shift": shift}
