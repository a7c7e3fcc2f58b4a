"""The entries of the catalogue: ops, arguments and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ALL = ("float32", "bfloat16", "float16", "float64")
FLOATS = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor argument, filled with random numbers; its dtype is the entry's where None.

    ``transposed`` swaps the memory order of the last two dimensions, as a linear layer's
    weight has it.
    """

    shape: tuple[int, ...]
    fill: Literal["normal", "uniform", "integers"] = "normal"
    scale: float = 1.0
    shift: float = 0.0
    high: int = 0
    dtype: str | None = None
    transposed: bool = False


Argument: TypeAlias = "Operand | bool | int | float | str | Sequence[Argument] | None"


@dataclass(frozen=True, slots=True)
class Entry:
    """One op with arguments of one size; ``detail`` tells entries of equal shapes apart."""

    op: str
    args: tuple[Argument, ...]
    dtypes: tuple[str, ...] = ALL
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    detail: str = ""


def _t(*shape: int) -> Operand:
    return Operand(shape)


def _positive(*shape: int) -> Operand:
    """Values from 0.5 to 1.5: safe below roots and logarithms."""
    return Operand(shape, fill="uniform", shift=0.5)


def _indices(high: int, *shape: int) -> Operand:
    return Operand(shape, fill="integers", high=high, dtype="int64")


def _products() -> list[Entry]:
    """Matrix products: few rows and many, odd sizes, and those of common models."""
    sizes = [(m, 384, 384) for m in (1, 2, 3, 4, 5, 6, 7, 8, 16, 33, 128)]
    sizes += [(m, 768, 768) for m in (1, 4, 32)]
    sizes += [(128, 384, 1536), (128, 1536, 384), (7, 97, 31), (61, 384, 96), (1, 4096, 512)]
    found = [
        Entry("aten.addmm.default", (_t(n), _t(m, k), Operand((k, n), transposed=True)))
        for m, k, n in sizes
    ]
    found += [Entry("aten.mm.default", (_t(m, k), _t(k, n))) for m, k, n in sizes]
    for b, m, k, n in (
        (12, 1, 32, 1), (12, 5, 32, 5), (12, 63, 32, 63), (12, 64, 32, 64), (8, 70, 64, 70),
        (24, 128, 128, 64), (3, 17, 19, 23),
    ):  # fmt: skip
        found.append(Entry("aten.bmm.default", (_t(b, m, k), _t(b, k, n))))
        found.append(Entry("aten.baddbmm.default", (_t(b, m, n), _t(b, m, k), _t(b, k, n))))
    for m, k in ((384, 384), (1000, 97), (31, 4096)):
        found.append(Entry("aten.mv.default", (_t(m, k), _t(k))))
    found += [Entry("aten.dot.default", (_t(n), _t(n))) for n in (7, 384, 4096, 65537)]
    return found


def _normalizations() -> list[Entry]:
    rows = [(1, 384), (2, 7), (5, 96), (32, 384), (64, 768), (128, 1024), (61, 97), (16, 4096)]
    found: list[Entry] = []
    for m, n in rows:
        affine = (_t(m, n), [n], _t(n), _t(n), 1e-12)
        found.append(Entry("aten.native_layer_norm.default", affine))
        found.append(Entry("aten.rms_norm.default", (_t(m, n), [n], _t(n), 1e-6)))
        for op in ("_softmax", "_log_softmax"):
            found.append(Entry(f"aten.{op}.default", (_t(m, n), -1, False)))
        found.append(
            Entry("aten.linalg_vector_norm.default", (_t(m, n), 2, [1], True), detail="last")
        )
        found.append(Entry("aten.logsumexp.default", (_t(m, n), [1], False)))
        found.append(Entry("aten.mean.dim", (_t(m, n), [1], False), detail="last"))
        found.append(Entry("aten.mean.dim", (_t(m, n), [0], False), detail="first"))
        found.append(Entry("aten.sum.dim_IntList", (_t(m, n), [1], False), detail="last"))
        found.append(Entry("aten.sum.dim_IntList", (_t(m, n), [0], False), detail="first"))
        found.append(
            Entry(
                "aten.var.correction", (_t(m, n), [1]), kwargs={"correction": 1, "keepdim": False}
            )
        )
        found.append(Entry("aten.cumsum.default", (_t(m, n), 1)))
    found.append(
        Entry(
            "aten.native_layer_norm.default", (_t(32, 384), [384], None, None, 1e-5), detail="plain"
        )
    )
    found.append(Entry("aten._softmax.default", (_t(8, 12, 61, 61), -1, False)))
    found.append(Entry("aten._softmax.default", (_t(32, 33, 7), 1, False), detail="middle"))
    found.append(Entry("aten.prod.dim_int", (_positive(64, 97), 1)))
    found.append(Entry("aten.sum.default", (_t(65537),)))
    found.append(Entry("aten.mean.default", (_t(65537),)))
    for n, c, s in ((2, 32, 49), (1, 64, 256), (5, 12, 7)):
        found.append(
            Entry("aten.native_group_norm.default", (_t(n, c, s), _t(c), _t(c), n, c, s, 4, 1e-5))
        )
        found.append(
            Entry(
                "aten.native_batch_norm.default",
                (_t(n, c, s), _t(c), _t(c), _t(c), _positive(c), False, 0.1, 1e-5),
            )
        )
    return found


_UNARY = (
    "exp", "expm1", "tanh", "erf", "sigmoid", "silu", "sin", "cos", "softplus", "relu",
    "hardswish", "mish", "elu", "reciprocal", "atan",
)  # fmt: skip
_UNARY_POSITIVE = ("log", "log1p", "log2", "sqrt", "rsqrt")


def _elementwise() -> list[Entry]:
    """Element by element: a short row, an odd one, and one long enough for rare values."""
    found: list[Entry] = []
    for size in ((7,), (61, 97), (65539,)):
        found += [Entry(f"aten.{op}.default", (_t(*size),)) for op in _UNARY]
        found += [Entry(f"aten.{op}.default", (_positive(*size),)) for op in _UNARY_POSITIVE]
        for how in ("none", "tanh"):
            found.append(
                Entry("aten.gelu.default", (_t(*size),), kwargs={"approximate": how}, detail=how)
            )
        found.append(Entry("aten.div.Tensor", (_t(*size), _positive(*size))))
        found.append(Entry("aten.mul.Tensor", (_t(*size), _t(*size))))
        found.append(Entry("aten.add.Tensor", (_t(*size), _t(*size))))
        found.append(Entry("aten.pow.Tensor_Scalar", (_positive(*size), 3.5)))
        found.append(Entry("aten.addcmul.default", (_t(*size), _t(*size), _t(*size))))
        found.append(Entry("aten.addcdiv.default", (_t(*size), _t(*size), _positive(*size))))
        found.append(Entry("aten.lerp.Scalar", (_t(*size), _t(*size), 0.3)))
    return found


def _attention() -> list[Entry]:
    found: list[Entry] = []
    sizes = [(b, h, s, d) for b, h, d in ((1, 12, 32), (4, 8, 64)) for s in (1, 7, 63, 64, 70, 128)]
    for b, h, s, d in sizes:
        qkv = (_t(b, h, s, d), _t(b, h, s, d), _t(b, h, s, d))
        for causal in (False, True):
            detail = "causal" if causal else "full"
            found.append(
                Entry(
                    "aten.scaled_dot_product_attention.default",
                    (*qkv, None, 0.0, causal),
                    detail=detail,
                )
            )
            found.append(
                Entry(
                    "aten._scaled_dot_product_flash_attention_for_cpu.default",
                    (*qkv, 0.0, causal),
                    detail=detail,
                )
            )
        masked = (*qkv, _t(b, 1, s, s))
        found.append(Entry("aten.scaled_dot_product_attention.default", masked, detail="mask"))
    return found


def _convolutions() -> list[Entry]:
    found: list[Entry] = []
    for n, c, size, o, k in ((1, 8, 61, 16, 3), (4, 80, 200, 64, 3), (2, 32, 128, 32, 7)):
        tail = ([1], [k // 2], [1], False, [0], 1)
        found.append(
            Entry(
                "aten.convolution.default", (_t(n, c, size), _t(o, c, k), _t(o), *tail), detail="1d"
            )
        )
    for n, c, size, o, k, step in (
        (1, 3, 64, 16, 3, 1), (2, 32, 28, 32, 3, 1), (1, 3, 224, 32, 16, 16), (2, 16, 15, 24, 1, 1),
    ):  # fmt: skip
        pad = 0 if step > 1 else k // 2
        tail2 = ([step, step], [pad, pad], [1, 1], False, [0, 0], 1)
        found.append(
            Entry(
                "aten.convolution.default",
                (_t(n, c, size, size), _t(o, c, k, k), _t(o), *tail2),
                detail="2d",
            )
        )
    image = _t(2, 8, 33, 33)
    found.append(Entry("aten.avg_pool2d.default", (image, [3, 3], [2, 2])))
    found.append(Entry("aten._adaptive_avg_pool2d.default", (image, [5, 5])))
    found.append(Entry("aten.upsample_bilinear2d.default", (image, [50, 50], False)))
    return found


def _lookups() -> list[Entry]:
    found = [
        Entry("aten.embedding.default", (_t(1000, 96), _indices(1000, 8, 61))),
        Entry("aten.index_add.default", (_t(50, 96), 0, _indices(50, 200), _t(200, 96))),
        Entry("aten.scatter_add.default", (_t(50, 96), 0, _indices(50, 80, 96), _t(80, 96))),
        Entry("aten.cross_entropy_loss.default", (_t(33, 1000), _indices(1000, 33))),
        Entry("aten.nll_loss_forward.default", (_t(33, 100), _indices(100, 33), None, 1, -100)),
        Entry("aten.mse_loss.default", (_t(61, 97), _t(61, 97))),
    ]
    for n in (7, 97, 4096):
        found.append(Entry("aten.sort.default", (_t(16, n),)))
        found.append(Entry("aten.topk.default", (_t(16, n), 5)))
        found.append(Entry("aten.amax.default", (_t(16, n), [1])))
    for a, b, d in ((5, 7, 32), (61, 33, 96)):
        found.append(
            Entry("aten._cdist_forward.default", (_t(a, d), _t(b, d), 2.0, None), dtypes=FLOATS)
        )
    for n in (64, 97, 1024):
        found.append(Entry("aten._fft_r2c.default", (_t(4, n), [1], 0, True), dtypes=FLOATS))
    return found


ENTRIES: tuple[Entry, ...] = (
    *_products(),
    *_normalizations(),
    *_elementwise(),
    *_attention(),
    *_convolutions(),
    *_lookups(),
)
"""Everything in the catalogue, in the order of reports."""
