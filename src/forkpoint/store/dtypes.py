"""torch's dtype names and the numpy types that hold the same bits."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

DTYPES: dict[str, np.dtype[np.generic]] = {
    **{
        name: np.dtype(name)
        for name in (
            *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
            *("float16", "float32", "float64", "complex64", "complex128"),
        )
    },
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu),
}
"""Dtypes whose tensors can be loaded; others (complex32, quantized) are known by digest only."""

SAFETENSORS = {
    "bool": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "bfloat16": "BF16",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
}
"""What the safetensors format calls our dtypes."""

MAX_DIMS = 64
MAX_BYTES = 1 << 46
"""Larger tensors than 64 TiB exist in no memory: such a shape is damage."""


def header_agrees(dtype: str, shape: tuple[int, ...], header: tuple[str, list[int]]) -> bool:
    """Whether a safetensors header entry (dtype, shape) may hold a tensor of this kind.

    The index decides how bytes are read. The format lacks some dtypes, so an entry is either
    the same dtype and shape, or plain bytes (``U8``) of the same size.
    """
    size = math.prod(shape) * DTYPES[dtype].itemsize
    if header[0] == "U8" and header[1] == [size]:
        return True
    same = header == (SAFETENSORS.get(dtype), list(shape))
    # a long list of huge numbers is never multiplied
    return same or (header[0] == "U8" and len(header[1]) <= MAX_DIMS and _bytes(header[1]) == size)


def _bytes(shape: list[int]) -> int:
    return math.prod(shape) if max(shape, default=0) <= MAX_BYTES else -1


def parse_shape(text: str) -> tuple[int, ...]:
    """Turn ``"32,77"`` into ``(32, 77)``; ``""`` is a tensor without dimensions.

    Raises `ValueError` where the text is no list of whole numbers, where a number is
    negative, or where the shape is absurd (over `MAX_DIMS` dimensions, over `MAX_BYTES`).
    """
    if not text:
        return ()
    dimensions = text.count(",") + 1
    if dimensions > MAX_DIMS:
        raise ValueError(f"a shape of {dimensions} dimensions")
    shape = tuple(_whole(part) for part in text.split(","))
    if math.prod(size for size in shape if size) > MAX_BYTES:
        raise ValueError(f"a shape that no memory holds: {text}")
    return shape


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError(f"a shape with {text[:40]!r} in it")
    return int(text)
