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
from math import prod
from typing import Any

from forkpoint.bisect import _catalogue_ops as ops

TIMES = "\N{MULTIPLICATION SIGN}"
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int64": 8, "bool": 1}


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

    ``only`` keeps the ops whose name contains one of these words.
    """
    return tuple(
        call
        for entry in ops.ENTRIES
        if not only or any(word in entry.op for word in only)
        for call in _calls(entry, inputs)
    )


def _calls(entry: ops.Entry, inputs: int) -> Iterator[CatalogueCall]:
    for dtype in entry.dtypes:
        for seed in range(inputs):
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
        if isinstance(argument, float):
            return {"float": argument.hex()}
        if isinstance(argument, bool | int | str):
            return {type(argument).__name__: argument}
        return {"list": [self.value(one) for one in argument]}

    def _tensor(self, operand: ops.Operand) -> int:
        dtype = operand.dtype or self._dtype
        shape = list(operand.shape)
        stride = [prod(shape[at + 1 :]) for at in range(len(shape))]
        if operand.transposed:
            rows = shape[-2]
            stride[-2:] = [1, rows]
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
        size = prod(shape) * BYTES[dtype]
        self.storages.append({"fill": self._fill(operand, index), "bytes": size})
        return index

    def _fill(self, operand: ops.Operand, index: int) -> dict[str, Any]:
        seed = self._seed * 16 + index
        if operand.fill == "integers":
            return {"kind": "integers", "seed": seed, "low": 0, "high": operand.high}
        shift = float(operand.shift).hex()
        return {"kind": operand.fill, "seed": seed, "scale": operand.scale, "shift": shift}
