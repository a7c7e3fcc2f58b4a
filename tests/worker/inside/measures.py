"""Metrics for the host to check: pairs of tensors as raw bytes, and what was measured."""

from __future__ import annotations

import json
import os
import random

import torch

from forkpoint_worker import metrics

FLOATS = "float16 bfloat16 float32 float64 float8_e4m3fn float8_e5m2 float8_e8m0fnu".split()
INTS = "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64".split()
COMPLEX = "complex64 complex128".split()
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def test_export_pairs(artifacts):
    folder = os.path.join(artifacts, "pairs")
    os.makedirs(folder)
    rows = []
    for dtype, b, c in pairs():
        for limits in (None, (1e-5, 1.3e-6), (0.0, 0.5), (1e300, 0.0)):
            text = metrics.compare(b, c, limits)
            name = "%04d" % len(rows)
            write(os.path.join(folder, name + ".b"), b)
            write(os.path.join(folder, name + ".c"), c)
            row = {"name": name, "dtype": dtype, "shape": list(b.shape), "limits": limits}
            rows.append(dict(row, metrics=json.loads(text)))
    with open(os.path.join(folder, "pairs.json"), "w") as stream:
        json.dump(rows, stream)


def test_packed_elements_are_not_measured():
    assert metrics.measurable(torch.float32)
    assert not metrics.measurable(torch.quint8)
    if hasattr(torch, "float4_e2m1fn_x2"):
        assert not metrics.measurable(torch.float4_e2m1fn_x2)


def pairs():
    generator = random.Random(5)
    for dtype in FLOATS + INTS + COMPLEX:
        if not hasattr(torch, dtype):
            continue
        for shape in ((), (0, 3), (1,), (7, 5), (3, 100, 11)):
            b = wild(dtype, shape)
            yield dtype, b, b.clone()
            yield dtype, b, wild(dtype, shape)
            yield dtype, b, nudged(b, generator)
    for dtype in ("float16", "bfloat16", "float32", "float64", "complex64"):
        tame = torch.randn(40, 30).to(getattr(torch, dtype))
        yield dtype, tame, nudged(tame, generator)
        yield dtype, tame, tame * 1.001
        yield dtype, tame, -tame
    yield from special()


def special():
    inf, nan = float("inf"), float("nan")
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        b = torch.tensor([0.0, -0.0, inf, -inf, nan, nan, 1.0, 1.0, inf, 0.0, 5.0, -5.0])
        c = torch.tensor([-0.0, 0.0, inf, inf, nan, 1.0, nan, inf, 1.0, 0.0, 5.0, -5.0])
        b, c = b.to(getattr(torch, dtype)), c.to(getattr(torch, dtype))
        for part in (slice(0, 2), slice(9, 12), slice(2, 5), slice(None)):
            yield dtype, b[part].clone(), c[part].clone()
    largest = torch.finfo(torch.float64).max
    yield "float64", torch.tensor([largest, 1.0]).double(), torch.tensor([-largest, 1.0]).double()
    low, high = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
    yield "int64", torch.tensor([low, high, high, 0]), torch.tensor([high, low, high - 1, 3])
    # more than one chunk: the worst element and the ranks lie across them
    b = torch.randn(700_000)
    c = b.clone()
    c[-1000:] += 0.5
    c[5] += 0.5
    c[600_000] = nan
    yield "float32", b, c


def wild(dtype, shape):
    """Any bits."""
    kind = getattr(torch, dtype)
    count = 1
    for size in shape:
        count *= size
    if dtype == "bool":
        return torch.randint(0, 2, shape).bool()
    size = torch.empty(0, dtype=kind).element_size()
    raw = torch.randint(0, 256, (count * size,), dtype=torch.uint8)
    if kind.is_complex:
        part = torch.float32 if size == 8 else torch.float64
        return torch.view_as_complex(raw.view(part).view(*shape, 2))
    return raw.view(kind).view(shape)


def nudged(tensor, generator):
    """Other last bits here and there."""
    if tensor.dtype is torch.bool:
        return tensor ^ (torch.rand(tensor.shape) < 0.1)
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    bits = real.clone().reshape(-1).view(BITS[real.element_size()])
    for _ in range(bits.numel() // 5):
        bits[generator.randrange(bits.numel())] ^= generator.choice((1, 1, 2, 7))
    changed = bits.view(real.dtype).view(real.shape)
    return torch.view_as_complex(changed) if tensor.is_complex() else changed


def write(path, tensor):
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    flat = tensor.contiguous().view(-1)
    with open(path, "wb") as stream:
        stream.write(bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b"")
