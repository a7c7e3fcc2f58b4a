"""The entries of the catalogue that most models call: products, norms, single numbers."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    COMPLEX,
    FLOATS,
    RARELY,
    Argument,
    Entry,
    Operand,
    indices,
    named,
    normal,
    positive,
)


def _rarely(m: int, k: int, n: int) -> int:
    """More inputs where there are few rows, but not of weights that take long to make."""
    return RARELY if m <= 4 and k * n <= 600_000 else 1


def _products() -> list[Entry]:
    """Matrix products: few rows and many, odd sizes, and those of common models."""
    sizes = [(m, 384, 384) for m in (1, 2, 3, 4, 5, 6, 7, 8, 16, 33, 128)]
    sizes += [(m, 768, 768) for m in (1, 4, 32)]
    sizes += [(128, 384, 1536), (128, 1536, 384), (7, 97, 31), (61, 384, 96), (1, 4096, 512)]
    sizes += [(16, 1024, 1000), (1, 896, 896), (8, 768, 2)]
    found = [
        Entry(
            "aten.addmm.default",
            (normal(n), normal(m, k), Operand((k, n), transposed=True)),
            rarely=_rarely(m, k, n),
        )
        for m, k, n in sizes
    ]
    found += [
        Entry("aten.mm.default", (normal(m, k), normal(k, n)), rarely=_rarely(m, k, n))
        for m, k, n in sizes
    ]
    for b, m, k, n in (
        (12, 1, 32, 1), (12, 5, 32, 5), (12, 63, 32, 63), (12, 64, 32, 64), (8, 70, 64, 70),
        (24, 128, 128, 64), (3, 17, 19, 23),
    ):  # fmt: skip
        found.append(Entry("aten.bmm.default", (normal(b, m, k), normal(b, k, n))))
        found.append(
            Entry("aten.baddbmm.default", (normal(b, m, n), normal(b, m, k), normal(b, k, n)))
        )
        turned = Operand((b, k, n), transposed=True)
        found.append(Entry("aten.bmm.default", (normal(b, m, k), turned), detail="turned"))
    for m, k in ((384, 384), (1000, 97), (31, 4096)):
        found.append(Entry("aten.mv.default", (normal(m, k), normal(k)), rarely=RARELY))
        turned = Operand((m, k), transposed=True)
        found.append(Entry("aten.mv.default", (turned, normal(k)), detail="turned", rarely=RARELY))
    found += [
        Entry("aten.dot.default", (normal(n), normal(n)), rarely=RARELY)
        for n in (7, 384, 4096, 65537)
    ]
    return found + _more_products()


def _more_products() -> list[Entry]:
    """Operands whose rows lie across, as gradients have them; scaled sums; rarer products."""
    found: list[Entry] = []
    for m, k, n in ((61, 384, 96), (33, 64, 96), (128, 97, 31)):
        turned = Operand((m, k), transposed=True)
        found.append(Entry("aten.mm.default", (turned, normal(k, n)), detail="first turned"))
        turned = Operand((k, n), transposed=True)
        found.append(Entry("aten.mm.default", (normal(m, k), turned), detail="second turned"))
    turned = Operand((4, 33, 32), transposed=True)
    found.append(Entry("aten.bmm.default", (turned, normal(4, 32, 40)), detail="first turned"))
    scaled: dict[str, Argument] = {"beta": 0.5, "alpha": 0.125}
    full = (normal(33, 96), normal(33, 64), normal(64, 96))
    found.append(Entry("aten.addmm.default", full, kwargs=scaled, detail="scaled"))
    heads = (normal(12, 40, 40), normal(12, 40, 64), normal(12, 64, 40))
    found.append(Entry("aten.baddbmm.default", heads, kwargs=scaled, detail="scaled"))
    found.append(
        Entry("aten.addbmm.default", (normal(20, 30), normal(5, 20, 17), normal(5, 17, 30)))
    )
    found.append(Entry("aten.addmv.default", (normal(100), normal(100, 77), normal(77))))
    found.append(
        Entry("aten.bilinear.default", (normal(16, 20), normal(16, 30), normal(12, 20, 30)))
    )
    return found


def _normalizations() -> list[Entry]:
    """What is computed of each row, or of each column, and of groups of channels."""
    rows = [(1, 384), (2, 7), (5, 96), (32, 384), (64, 768), (128, 1024), (61, 97), (16, 4096)]
    found = [entry for m, n in rows for entry in _of_rows(m, n)]
    found += _more_rows()
    plain = (normal(32, 384), [384], None, None, 1e-5)
    found.append(Entry("aten.native_layer_norm.default", plain, detail="plain"))
    found.append(Entry("aten._softmax.default", (normal(8, 12, 61, 61), -1, False)))
    for op in ("_log_softmax", "_softmax"):
        found.append(Entry(named(op), (normal(32, 33, 7), 1, False), detail="middle"))
    found.append(Entry("aten.prod.dim_int", (positive(64, 97), 1)))
    found.append(Entry("aten.sum.default", (normal(65537),)))
    found.append(Entry("aten.mean.default", (normal(65537),)))
    return found + _of_channels()


def _of_rows(m: int, n: int) -> list[Entry]:
    x = normal(m, n)
    affine = (normal(n), normal(n))
    found = [
        Entry("aten.native_layer_norm.default", (x, [n], *affine, 1e-12), rarely=RARELY),
        Entry("aten.rms_norm.default", (x, [n], normal(n), 1e-6)),
        Entry("aten._softmax.default", (x, -1, False)),
        Entry("aten._log_softmax.default", (x, -1, False)),
        Entry("aten.linalg_vector_norm.default", (x, 2, [1], True), detail="last"),
        Entry("aten.logsumexp.default", (x, [1], False)),
    ]
    for op in ("mean.dim", "sum.dim_IntList"):
        found.append(Entry(named(op), (x, [1], False), detail="last"))
        found.append(Entry(named(op), (x, [0], False), detail="first"))
    kwargs: dict[str, Argument] = {"correction": 1, "keepdim": False}
    found.append(Entry("aten.var.correction", (x, [1]), kwargs=kwargs))
    found.append(Entry("aten.cumsum.default", (x, 1)))
    return found


def _of_channels() -> list[Entry]:
    found: list[Entry] = []
    for n, c, s, groups in (
        (1, 320, 1024, 32), (2, 64, 49, 8), (1, 512, 100, 1), (2, 16, 1155, 4), (2, 16, 1155, 16),
    ):  # fmt: skip
        grouped = (normal(n, c, s), normal(c), normal(c), n, c, s, groups, 1e-5)
        found.append(Entry("aten.native_group_norm.default", grouped, detail=f"{groups} groups"))
    for n, c, s in ((2, 32, 49), (1, 64, 256), (5, 12, 7)):
        affine = (normal(n, c, s), normal(c), normal(c))
        found.append(Entry("aten.native_group_norm.default", (*affine, n, c, s, 4, 1e-5)))
        kept = (normal(c), positive(c), False, 0.1, 1e-5)
        found.append(Entry("aten.native_batch_norm.default", (*affine, *kept)))
    return found


def _more_rows() -> list[Entry]:
    """Short rows and long ones, no bias, a shifted mean, and rows that are not contiguous."""
    found: list[Entry] = []
    for m, n in ((3, 3), (5, 31), (9, 33), (7, 1024), (1, 896), (512, 768), (8, 130)):
        found.append(
            Entry(
                "aten.native_layer_norm.default",
                (normal(m, n), [n], normal(n), normal(n), 1e-5),
                rarely=RARELY,
            )
        )
        found.append(Entry("aten.rms_norm.default", (normal(m, n), [n], normal(n), 1e-6)))
        for op in ("_softmax", "_log_softmax"):
            found.append(Entry(f"aten.{op}.default", (normal(m, n), -1, False)))
            found.append(Entry(f"aten.{op}.default", (normal(m, n), 0, False), detail="first"))
    for n in (3, 7):
        many = (normal(2048, n), [n], None, None, 1e-5)
        found.append(Entry("aten.native_layer_norm.default", many, detail="plain"))
    for name, x in (
        ("shifted", Operand((61, 384), shift=30.0)),
        ("turned", Operand((61, 384), transposed=True)),
        ("every second", Operand((61, 384), every=2)),
    ):
        found.append(
            Entry("aten.native_layer_norm.default", (x, [384], None, None, 1e-5), detail=name)
        )
        found.append(Entry("aten._softmax.default", (x, -1, False), detail=name))
        found.append(Entry("aten.sum.dim_IntList", (x, [1], False), detail=name))
        found.append(Entry("aten.mean.dim", (x, [1], False), detail=name))
        found.append(Entry("aten.linalg_vector_norm.default", (x, 2, [1], True), detail=name))
    for m, n in ((61, 97), (16, 4096), (32, 384)):
        found += _reductions(normal(m, n), positive(m, n))
    return found


def _reductions(x: Operand, above_zero: Operand) -> list[Entry]:
    """Other sums and norms over the last dimension, over the first one, and over both."""
    found = [
        Entry("aten.linalg_vector_norm.default", (x, p, [1], False), detail=f"p={p:g}")
        for p in (1.0, 3.0, 0.5, float("inf"))
    ]
    found.append(Entry("aten.linalg_vector_norm.default", (x, 2, [0], True), detail="first"))
    found.append(Entry("aten.linalg_vector_norm.default", (x,), detail="all"))
    for op in ("std", "var_mean"):
        for where, dims in (("last", [1]), ("first", [0]), ("all", [0, 1])):
            found.append(
                Entry(f"aten.{op}.correction", (x, dims), kwargs={"correction": 1}, detail=where)
            )
    found.append(Entry("aten.var.correction", (x, [0]), kwargs={"correction": 0}, detail="first"))
    found.append(Entry("aten.sum.dim_IntList", (x, [0, 1], False), detail="all"))
    found.append(Entry("aten.mean.dim", (x, [0, 1], False), detail="all"))
    found.append(Entry("aten.nansum.default", (x, [1])))
    found.append(Entry("aten.logsumexp.default", (x, [0], False), detail="first"))
    found.append(Entry("aten.cumsum.default", (x, 0), detail="first"))
    found.append(Entry("aten.cumprod.default", (above_zero, 1)))
    found.append(Entry("aten.logcumsumexp.default", (x, 1)))
    return found


_UNARY = (
    "exp", "expm1", "tanh", "erf", "sigmoid", "silu", "sin", "cos", "softplus", "relu",
    "hardswish", "mish", "elu", "reciprocal", "atan",
)  # fmt: skip
_UNARY_POSITIVE = ("log", "log1p", "log2", "sqrt", "rsqrt")
_RARER = (
    "erfc", "exp2", "sinh", "cosh", "tan", "asinh", "hardsigmoid", "hardtanh", "leaky_relu",
    "log_sigmoid_forward", "softshrink", "sinc",
)  # fmt: skip
_RARER_POSITIVE = ("log10", "lgamma", "digamma")
_WIDE = ("exp", "tanh", "erf", "sigmoid", "silu", "sin", "cos", "gelu")
_BOUNDED = ("asin", "acos", "atanh", "erfinv")
_BINARY = ("atan2", "hypot", "logaddexp", "sub.Tensor", "maximum")
_BINARY_POSITIVE = ("remainder.Tensor", "fmod.Tensor", "xlogy.Tensor")


def _elementwise() -> list[Entry]:
    """Element by element: a short row, an odd one, and one long enough for rare values."""
    found: list[Entry] = []
    for size in ((7,), (61, 97), (65539,)):
        found += [Entry(f"aten.{op}.default", (normal(*size),)) for op in _UNARY]
        found += [Entry(f"aten.{op}.default", (positive(*size),)) for op in _UNARY_POSITIVE]
        for how in ("none", "tanh"):
            found.append(
                Entry(
                    "aten.gelu.default", (normal(*size),), kwargs={"approximate": how}, detail=how
                )
            )
        found.append(Entry("aten.div.Tensor", (normal(*size), positive(*size))))
        found.append(Entry("aten.mul.Tensor", (normal(*size), normal(*size))))
        found.append(Entry("aten.add.Tensor", (normal(*size), normal(*size))))
        found.append(Entry("aten.pow.Tensor_Scalar", (positive(*size), 3.5)))
        found.append(Entry("aten.addcmul.default", (normal(*size), normal(*size), normal(*size))))
        found.append(Entry("aten.addcdiv.default", (normal(*size), normal(*size), positive(*size))))
        found.append(Entry("aten.lerp.Scalar", (normal(*size), normal(*size), 0.3)))
    return found + _rarer()


def _rarer() -> list[Entry]:
    """Functions that fewer models call, large values, and every second element of a row."""
    found: list[Entry] = []
    for size in ((7,), (65539,)):
        found += [Entry(named(op), (normal(*size),)) for op in _RARER]
        found += [Entry(named(op), (positive(*size),)) for op in _RARER_POSITIVE]
        bounded = Operand(size, fill="uniform", scale=1.98, shift=-0.99)
        found += [Entry(named(op), (bounded,)) for op in _BOUNDED]
        found += [Entry(named(op), (normal(*size), normal(*size))) for op in _BINARY]
        found += [Entry(named(op), (normal(*size), positive(*size))) for op in _BINARY_POSITIVE]
        found.append(Entry("aten.prelu.default", (normal(*size), positive(1))))
        found += _powers(size)
    for op in _WIDE:
        found.append(Entry(named(op), (Operand((65539,), scale=30.0),), detail="wide"))
    for op in (*_WIDE, "elu", "softplus", "hardswish"):
        found.append(Entry(named(op), (Operand((61, 97), every=2),), detail="every second"))
    strided = (Operand((61, 97), every=2),)
    kwargs: dict[str, Argument] = {"approximate": "tanh"}
    found.append(Entry("aten.gelu.default", strided, kwargs=kwargs, detail="tanh, every second"))
    selu = (normal(65539), 1.6732632423543772, 1.0507009873554805)
    found.append(Entry("aten.elu.default", selu, detail="as selu"))
    found.append(Entry("aten.glu.default", (normal(61, 192), -1)))
    return found


def _powers(size: tuple[int, ...]) -> list[Entry]:
    """Powers as normalizations and rotary positions take them."""
    found = [
        Entry("aten.pow.Tensor_Scalar", (positive(*size), exponent), detail=f"to {exponent}")
        for exponent in (2, 3, 0.5, -0.5)
    ]
    found.append(Entry("aten.pow.Scalar", (10000.0, normal(*size))))
    found.append(Entry("aten.pow.Tensor_Tensor", (positive(*size), normal(*size))))
    return found


def _lookups() -> list[Entry]:
    found = [
        Entry("aten.embedding.default", (normal(1000, 96), indices(1000, 8, 61))),
        Entry("aten.index_add.default", (normal(50, 96), 0, indices(50, 200), normal(200, 96))),
        Entry("aten.scatter_add.default", (normal(50, 96), 0, indices(50, 80, 96), normal(80, 96))),
        Entry("aten.cross_entropy_loss.default", (normal(33, 1000), indices(1000, 33))),
        Entry("aten.nll_loss_forward.default", (normal(33, 100), indices(100, 33), None, 1, -100)),
        Entry("aten.mse_loss.default", (normal(61, 97), normal(61, 97))),
    ]
    for how in ("mean", "prod", "amax"):
        scattered = (normal(50, 96), 0, indices(50, 80, 96), normal(80, 96), how)
        found.append(Entry("aten.scatter_reduce.two", scattered, detail=how))
    added = (normal(50, 96), [indices(50, 300)], normal(300, 96), True)
    found.append(Entry("aten.index_put.default", added))
    for op in ("smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "kl_div"):
        found.append(Entry(named(op), (normal(61, 97), positive(61, 97))))
    for n in (7, 97, 4096):
        found.append(Entry("aten.sort.default", (normal(16, n),)))
        found.append(Entry("aten.topk.default", (normal(16, n), 5)))
        found.append(Entry("aten.amax.default", (normal(16, n), [1])))
    for a, b, d in ((5, 7, 32), (61, 33, 96)):
        found.append(
            Entry(
                "aten._cdist_forward.default",
                (normal(a, d), normal(b, d), 2.0, None),
                dtypes=FLOATS,
            )
        )
    for p in (1.0, 3.0):
        pair = (normal(61, 96), normal(33, 96), p, None)
        found.append(Entry("aten._cdist_forward.default", pair, dtypes=FLOATS, detail=f"p={p:g}"))
    found.append(Entry("aten.renorm.default", (normal(50, 30), 2, 0, 1.0)))
    weight = (normal(16, 8, 3), positive(16, 1, 1), 0)
    for op in ("_weight_norm", "_weight_norm_interface"):
        found.append(Entry(named(op), weight))
    matrix = Operand((33, 33), scale=0.1)
    found.append(Entry("aten.linalg_matrix_exp.default", (matrix,), dtypes=FLOATS))
    return found + _transforms() + _decompositions()


def _transforms() -> list[Entry]:
    """Fourier transforms of real rows, and back."""
    found: list[Entry] = []
    for n in (64, 97, 400, 1000, 1024):
        found.append(Entry("aten._fft_r2c.default", (normal(4, n), [1], 0, True), dtypes=FLOATS))
    for n in (64, 400, 1024, 2046):
        x = Operand((4, n // 2 + 1), dtype=COMPLEX)
        found.append(Entry("aten._fft_c2r.default", (x, [1], 2, n), dtypes=FLOATS))
    planes = (normal(4, 8, 64), [1, 2], 0, True)
    found.append(Entry("aten._fft_r2c.default", planes, dtypes=FLOATS, detail="planes"))
    return found


def _decompositions() -> list[Entry]:
    """Linear algebra of a small matrix and of an odd one."""
    found: list[Entry] = []
    for n in (8, 33):
        x = normal(n, n)
        for op in ("linalg_inv_ex", "linalg_qr", "_linalg_svd", "linalg_eigvals"):
            found.append(Entry(named(op), (x,), dtypes=FLOATS))
        found.append(Entry("aten._linalg_solve_ex.default", (x, normal(n, 3)), dtypes=FLOATS))
    return found


OPS: tuple[Entry, ...] = (
    *_products(),
    *_normalizations(),
    *_elementwise(),
    *_lookups(),
)
"""In the order of reports."""
