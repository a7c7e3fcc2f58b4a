"""Products of one row or one column, of turned and of complex matrices, and their layers."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    COMPLEX,
    FLOATS,
    HALF,
    RARELY,
    Argument,
    Entry,
    Operand,
    constant,
    indices,
    named,
    normal,
    turned,
)

_WEIGHTS = (
    (17, 9), (33, 65), (64, 64), (128, 30), (384, 384), (384, 1536), (768, 768),
    (1000, 7), (4096, 64),
)  # fmt: skip
"""How many numbers go into a layer and how many come out."""

_SHORT = ("float32", *HALF)
"""Of thin products, whose rows in float64 are elsewhere: large weights take time to make."""


def _of_one_row() -> list[Entry]:
    """A row times a weight that lies either way in memory, alone and with a bias."""
    found: list[Entry] = []
    for k, n in _WEIGHTS:
        row, bias = normal(1, k), normal(n)
        for how, weight in (("across", normal(k, n)), ("turned", turned(k, n))):
            kinds: list[tuple[str, tuple[Argument, ...]]] = [
                ("aten.mm.default", (row, weight)),
                ("aten.mv.default", (_other(weight), normal(k))),
            ]
            if n < 1000:
                kinds.append(("aten.addmm.default", (bias, row, weight)))
            found += [
                Entry(op, args, _SHORT, detail=f"one row, {how}", rarely=RARELY)
                for op, args in kinds
                if (op, k, n, how) not in _ELSEWHERE
            ]
        if k * n < 200_000:
            layer = (row, normal(n, k), bias)
            found.append(Entry("aten.linear.default", layer, _SHORT, rarely=RARELY))
    for k, n in ((64, 64), (384, 384)):
        args = (normal(k), normal(n, k))
        found.append(Entry("aten.linear.default", args, _SHORT, detail="vector", rarely=RARELY))
    return found


_ELSEWHERE = {
    ("aten.mm.default", 384, 384, "across"), ("aten.mm.default", 768, 768, "across"),
    ("aten.addmm.default", 384, 384, "turned"), ("aten.addmm.default", 768, 768, "turned"),
    ("aten.mv.default", 384, 384, "across"), ("aten.mv.default", 384, 384, "turned"),
}  # fmt: skip
"""Rows that the catalogue has under another name."""


def _other(weight: Operand) -> Operand:
    """The weight from the other side: its memory as it is, its dimensions exchanged."""
    return Operand(weight.shape[::-1], transposed=not weight.transposed)


def _of_few_rows() -> list[Entry]:
    """A few rows, one column, and layers of a batch of sequences."""
    found: list[Entry] = []
    for m, k, n in (
        (2, 64, 64), (3, 33, 65), (4, 128, 30), (4, 768, 96), (5, 17, 9), (16, 64, 64),
        (64, 33, 65), (7, 384, 1), (128, 64, 1),
    ):  # fmt: skip
        op, x, weight = "aten.mm.default", normal(m, k), normal(k, n)
        found += [
            Entry(op, (x, weight), _SHORT, detail="few", rarely=RARELY),
            Entry(op, (x, turned(k, n)), _SHORT, detail="few, second turned"),
            Entry(op, (turned(m, k), weight), _SHORT, detail="few, first turned"),
            Entry(op, (turned(m, k), turned(k, n)), _SHORT, detail="few, both turned"),
            Entry("aten.addmm.default", (normal(n), x, weight), _SHORT, detail="few"),
            Entry("aten.linear.default", (x, normal(n, k), normal(n)), _SHORT),
        ]
    for b, t, k, n in ((1, 1, 384, 384), (2, 1, 384, 96), (3, 5, 384, 384), (2, 33, 64, 96)):
        args = (normal(b, t, k), normal(n, k), normal(n))
        found.append(Entry("aten.linear.default", args, _SHORT, rarely=RARELY))
    return found


def _batches() -> list[Entry]:
    """Batches where a matrix is one row or one column, and a few with larger ones."""
    found: list[Entry] = []
    for b, m, k, n in (
        (12, 1, 64, 64), (6, 1, 64, 33), (12, 1, 33, 128), (8, 1, 128, 64), (5, 31, 32, 1),
        (12, 64, 64, 1), (8, 128, 96, 1), (2, 1, 128, 96), (2, 3, 4, 5), (100, 3, 3, 3),
        (12, 64, 64, 64), (4, 33, 65, 17),
    ):  # fmt: skip
        first, second = normal(b, m, k), normal(b, k, n)
        op, turn = "aten.bmm.default", turned(b, k, n)
        found += [
            Entry(op, (first, second), _SHORT, detail="thin", rarely=RARELY),
            Entry(op, (first, turn), _SHORT, detail="second across", rarely=RARELY),
            Entry(op, (turned(b, m, k), second), _SHORT, detail="first across"),
            Entry("aten.baddbmm.default", (normal(b, m, n), first, second), _SHORT, detail="thin"),
        ]
    return found


def _vectors() -> list[Entry]:
    """Sums of products of two vectors, and what is added to them."""
    found = [
        Entry("aten.dot.default", (normal(n), normal(n)), rarely=RARELY)
        for n in (1, 3, 17, 64, 129, 768, 5001)
    ]
    scaled: dict[str, Argument] = {"beta": 0.5, "alpha": 1.5}
    for m, k in ((384, 384), (65, 33), (9, 17), (768, 768), (384, 1536)):
        for how, matrix in (("", normal(m, k)), (", turned", turned(m, k))):
            arguments = (normal(m), matrix, normal(k))
            found.append(
                Entry("aten.addmv.default", arguments, kwargs=scaled, detail=f"scaled{how}")
            )
    found.append(
        Entry("aten.addr.default", (normal(65, 33), normal(65), normal(33)), kwargs=scaled)
    )
    for a, b in ((3, 4), (1, 8)):
        found.append(Entry("aten.inner.default", (normal(a, 768), normal(b, 768))))
    return found


def _complex() -> list[Entry]:
    """Products of complex matrices and vectors."""
    found: list[Entry] = []
    for n in (2, 5, 17, 64):
        square = Operand((n, n), dtype=COMPLEX)
        found.append(Entry("aten.mm.default", (square, square), dtypes=FLOATS, detail="complex"))
    batch = Operand((4, 16, 16), dtype=COMPLEX)
    found.append(Entry("aten.bmm.default", (batch, batch), dtypes=FLOATS, detail="complex"))
    for n in (64, 5001):
        vector = Operand((n,), dtype=COMPLEX)
        for op in ("vdot", "dot"):
            found.append(Entry(named(op), (vector, vector), dtypes=FLOATS, detail="complex"))
    return found


def _chains() -> list[Entry]:
    """Functions of several products, and products of integers."""
    found = [
        Entry("aten.linalg_multi_dot.default", ([normal(n, 6), normal(6, 33), normal(33, 4)],))
        for n in (5, 64)
    ]
    found.append(Entry("aten.linalg_matrix_power.default", (normal(17, 17), 5)))
    found.append(
        Entry("aten.tensordot.default", (normal(17, 4, 5), normal(4, 5, 6), [1, 2], [0, 1]))
    )
    heads = [normal(2, 7, 3, 16), normal(2, 9, 3, 16)]
    found.append(Entry("aten.einsum.default", ("bqhd,bkhd->bhqk", heads)))
    found.append(
        Entry("aten._addmm_activation.default", (normal(96), normal(33, 64), normal(64, 96)))
    )
    for m, k, n in ((17, 32, 16), (33, 128, 48)):
        a, b = indices(100, m, k), indices(100, k, n)
        small = tuple(Operand(x.shape, fill="integers", high=100, dtype="int8") for x in (a, b))
        found.append(Entry("aten._int_mm.default", small, dtypes=("int8",)))
        found.append(Entry("aten.mm.default", (a, b), dtypes=("int64",)))
    packed = (
        Operand((3, 64)),
        Operand((48, 64), fill="integers", high=100, dtype="int8"),
        Operand((48,), fill="uniform", scale=0.1),
    )
    found.append(Entry("aten._weight_int8pack_mm.default", packed, dtypes=(*HALF, "float32")))
    found.append(
        Entry(
            "aten._foreach_norm.Scalar",
            ([normal(33, 7), normal(65), normal(1280)], 2),
        )
    )
    scale = Operand((9,), fill="uniform", scale=0.1, shift=0.01, dtype="float32")
    quantized = (normal(61, 9), scale, constant(0, 9, dtype="int32"), 1, -128, 127)
    found.append(Entry("aten.fake_quantize_per_channel_affine_cachemask.default", quantized))
    return found


PRODUCTS: tuple[Entry, ...] = (
    *_of_one_row(),
    *_of_few_rows(),
    *_batches(),
    *_vectors(),
    *_complex(),
    *_chains(),
)
"""In the order of reports."""
