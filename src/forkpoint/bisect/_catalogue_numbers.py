"""Rarer functions of single numbers, complex ones, and reductions that order or count."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    COMPLEX,
    FLOATS,
    HALF,
    Argument,
    Dtype,
    Entry,
    Operand,
    constant,
    named,
    normal,
    positive,
    turned,
)

_SPECIAL = (
    "i0", "special_i0e", "special_i1", "special_i1e", "selu", "celu", "square", "hardshrink",
    "special_ndtr", "deg2rad", "relu6", "abs", "round",
)  # fmt: skip
_WIDE = (
    "special_log_ndtr", "special_erfcx", "special_bessel_j0", "special_bessel_j1",
    "special_spherical_bessel_j0", "special_airy_ai",
)  # fmt: skip
_WIDE_POSITIVE = (
    "special_modified_bessel_i0", "special_modified_bessel_i1",
    "special_modified_bessel_k0", "special_modified_bessel_k1", "special_bessel_y0",
    "special_bessel_y1", "special_scaled_modified_bessel_k0", "special_scaled_modified_bessel_k1",
)  # fmt: skip
_TWO = ("logaddexp2", "fmax", "floor_divide", "dist", "float_power.Tensor_Tensor", "fmin")
_COMPLEX = (
    "abs", "angle", "exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sigmoid", "reciprocal",
    "asin", "acos", "atan", "sinh", "cosh", "asinh", "atanh", "log10", "log2", "log1p", "expm1",
    "square", "sgn", "rsqrt",
)  # fmt: skip


def _special() -> list[Entry]:
    """Of a row that is long enough for rare values, and not a multiple of any vector."""
    size = (16411,)
    x, above = normal(*size), positive(*size)
    inside = Operand(size, fill="uniform", scale=0.98, shift=0.01)
    degree = Operand(size, fill="integers", high=5)
    found = [Entry(named(op), (x,)) for op in _SPECIAL]
    found += [Entry(named(op), (x,), FLOATS) for op in _WIDE]
    found += [Entry(named(op), (above,), FLOATS) for op in _WIDE_POSITIVE]
    found.append(Entry("aten.special_entr.default", (above,)))
    found += [Entry(named(op), (above, x)) for op in _TWO]
    found.append(Entry("aten.logit.default", (inside, 1e-6)))
    found.append(Entry("aten.special_ndtri.default", (inside,), FLOATS))
    found.append(Entry("aten.acosh.default", (Operand(size, "uniform", 20.0, 1.01),)))
    found += [Entry("aten.polygamma.default", (n, above), detail=f"n={n}") for n in (1, 2)]
    found.append(Entry("aten.mvlgamma.default", (Operand(size, "uniform", 3.0, 2.0), 3)))
    for op in ("igamma", "igammac", "special_xlog1py"):
        found.append(Entry(named(op), (above, positive(*size))))
    found.append(
        Entry("aten.special_zeta.default", (Operand(size, "uniform", 3.0, 1.1), above), FLOATS)
    )
    for name in ("chebyshev_polynomial_t", "hermite_polynomial_h", "laguerre_polynomial_l"):
        found.append(Entry(named(f"special_{name}"), (inside, degree), FLOATS))
    return found + _with_numbers(x, above)


def _with_numbers(x: Operand, above: Operand) -> list[Entry]:
    """With a number as the other operand, rounded division, and conversions."""
    found = [
        Entry("aten.div.Tensor_mode", (x, above), kwargs={"rounding_mode": how}, detail=how)
        for how in ("floor", "trunc")
    ]
    for op in ("remainder", "fmod", "div", "mul"):
        overload = "Tensor" if op in ("div", "mul") else "Scalar"
        other: Argument = Operand((), shift=0.3, scale=0.0) if overload == "Tensor" else 0.3
        found.append(Entry(f"aten.{op}.{overload}", (x, other), detail="by a number"))
    found.append(Entry("aten.lerp.Tensor", (x, x, above)))
    found.append(Entry("aten.add.Tensor", (x, x), kwargs={"alpha": 0.37}, detail="times 0.37"))
    for op in ("addcmul", "addcdiv"):
        found.append(Entry(named(op), (x, x, above), kwargs={"value": 0.3}, detail="times 0.3"))
    found.append(Entry("aten.round.decimals", (x,), kwargs={"decimals": 2}))
    found.append(Entry("aten.threshold.default", (x, 0.1, 0.3)))
    for exponent in (-1, -2, 1.7):
        found.append(Entry("aten.pow.Tensor_Scalar", (above, exponent), detail=f"to {exponent}"))
    for dtype in ("bfloat16", "float16", "float32"):
        kwargs: dict[str, Argument] = {"dtype": Dtype(dtype)}
        found.append(Entry("aten._to_copy.default", (x,), kwargs=kwargs, detail=f"to {dtype}"))
    found.append(
        Entry("aten.fake_quantize_per_tensor_affine_cachemask.default", (x, 0.037, 3, -128, 127))
    )
    learned = (x, Operand((1,), "uniform", 0.1, 0.01), constant(0, 1, dtype=None), -128, 127, 1.0)
    found.append(
        Entry("aten._fake_quantize_learnable_per_tensor_affine.default", learned, dtypes=FLOATS)
    )
    found.append(
        Entry(
            "aten._fake_quantize_learnable_per_tensor_affine_backward.default",
            (x, *learned),
            dtypes=("float32",),
        )
    )
    return found


def _complex() -> list[Entry]:
    """Of complex numbers."""
    z = Operand((4099,), dtype=COMPLEX)
    found = [Entry(named(op), (z,), FLOATS, detail="complex") for op in _COMPLEX]
    for op in ("mul.Tensor", "div.Tensor", "pow.Tensor_Tensor", "add.Tensor"):
        found.append(Entry(named(op), (z, z), FLOATS, detail="complex"))
    found.append(Entry("aten.polar.default", (positive(4099), normal(4099)), FLOATS))
    z = Operand((33, 65), dtype=COMPLEX)
    for op in ("sum.dim_IntList", "mean.dim"):
        found.append(Entry(named(op), (z, [1], False), FLOATS, detail="complex"))
    for op in ("prod.dim_int", "cumsum", "cumprod"):
        found.append(Entry(named(op), (z, 1), FLOATS, detail="complex"))
    found.append(Entry("aten.linalg_vector_norm.default", (z,), FLOATS, detail="complex"))
    return found


_SHAPES = ((7, 13), (33, 65), (1, 1000), (1000, 3))


def _reductions() -> list[Entry]:
    """Over all numbers, over rows and over columns."""
    found: list[Entry] = []
    for m, n in _SHAPES:
        x, across = normal(m, n), turned(m, n)
        for op in ("sum", "mean", "prod"):
            found.append(Entry(named(op), (x,), detail="of all"))
        for dim, where in ((0, "first"), (-1, "last")):
            found += _along(x, dim, where)
        kwargs: dict[str, Argument] = {"correction": 0}
        found.append(Entry("aten.var.correction", (across, [1]), kwargs=kwargs, detail="turned"))
        found.append(Entry("aten.sum.default", (across,), detail="of all, turned"))
        wide: dict[str, Argument] = {"dtype": Dtype("float32")}
        found.append(Entry("aten.sum.dim_IntList", (x, [1]), HALF, wide, detail="in float32"))
        # which number it is does not depend on how it is computed: one dtype is enough
        one = ("float32",)
        for op in ("median", "nanmedian", "aminmax"):
            found.append(Entry(named(op), (x,), one, detail="of all"))
        for op in ("median.dim", "mode", "cummax"):
            found.append(Entry(named(op), (x, -1), one, detail="last"))
        found.append(Entry("aten.kthvalue.default", (x, 2, -1), one))
    found.append(Entry("aten.sum.default", (normal(200003),), detail="of all"))
    return found + _quantiles() + _statistics()


def _along(x: Operand, dim: int, where: str) -> list[Entry]:
    """Sums, products and moments along one dimension, and on the way."""
    kwargs: dict[str, Argument] = {"correction": 0}
    found = [
        Entry("aten.prod.dim_int", (x, dim), detail=where),
        Entry("aten.norm.ScalarOpt_dim", (x, 2.0, [dim]), detail=where),
    ]
    for op in ("logcumsumexp", "cumsum", "cumprod"):
        found.append(Entry(named(op), (x, dim), detail=f"{where} of {x.shape[0]}"))
    for op in ("sum.dim_IntList", "mean.dim", "logsumexp", "nansum", "nanmean"):
        found.append(Entry(named(op), (x, [dim], True), detail=f"{where}, kept"))
    for op in ("var", "std_mean"):
        found.append(
            Entry(f"aten.{op}.correction", (x, [dim]), kwargs=kwargs, detail=f"{where}, whole")
        )
    return found


def _quantiles() -> list[Entry]:
    found: list[Entry] = []
    for m, n in _SHAPES:
        for op in ("quantile", "nanquantile"):
            x, several = normal(m, n), Operand((3,), "uniform", 0.98, 0.01)
            for how in ("linear", "midpoint"):
                kwargs: dict[str, Argument] = {"interpolation": how}
                args = (x, 0.37, 1)
                found.append(Entry(f"aten.{op}.scalar", args, FLOATS, kwargs=kwargs, detail=how))
            found.append(Entry(f"aten.{op}.default", (x, several, 1), FLOATS, detail="three"))
            found.append(
                Entry(f"aten.{op}.default", (x, several, 0), FLOATS, detail="three, first")
            )
            found.append(Entry(f"aten.{op}.scalar", (x, 0.63), FLOATS, detail="of all"))
    return found


def _statistics() -> list[Entry]:
    """Of several variables, histograms, and distances between points."""
    x = normal(33, 65)
    found = [
        Entry("aten.cov.default", (x,)),
        Entry("aten.corrcoef.default", (x,)),
        Entry("aten.trapezoid.dx", (x,)),
        Entry("aten.cumulative_trapezoid.dx", (x,)),
        Entry("aten.histc.default", (normal(5000), 17, -3, 3), FLOATS),
        Entry(
            "aten.histogram.bin_ct", (normal(5000), 13), FLOATS,
            {"range": [-3.0, 3.0], "weight": positive(5000)},
        ),
        Entry("aten.linalg_cross.default", (normal(33, 3), normal(33, 3))),
        Entry("aten.linalg_vecdot.default", (x, normal(33, 65))),
        Entry("aten.trace.default", (normal(65, 65),)),
        Entry("aten.cosine_similarity.default", (x, normal(33, 65), -1)),
        Entry("aten.pairwise_distance.default", (x, normal(33, 65))),
        Entry("aten.kron.default", (normal(5, 7), normal(3, 4))),
    ]  # fmt: skip
    found += [
        Entry("aten.dist.default", (x, normal(33, 65), p), detail=f"p={p:g}") for p in (1.0, 3.0)
    ]
    for m, d in ((17, 33), (5, 7), (40, 96)):
        pairs = m * (m - 1) // 2
        for p in (0.5, 1.0, 2.0, 3.0, float("inf")):
            name = f"p={p:g}"
            found.append(
                Entry("aten._pdist_forward.default", (normal(m, d), p), FLOATS, detail=name)
            )
            args = (normal(pairs), normal(m, d), p, positive(pairs))
            found.append(Entry("aten._pdist_backward.default", args, FLOATS, detail=name))
    for p in (0.5, 1.0, 2.0, 3.0, float("inf")):
        for a, b, d in ((5, 7, 3), (65, 30, 129)):
            pair = (normal(a, d), normal(b, d), p, None)
            found.append(
                Entry("aten._cdist_forward.default", pair, FLOATS, detail=f"from, p={p:g}")
            )
    return found


NUMBERS: tuple[Entry, ...] = (*_special(), *_complex(), *_reductions())
"""In the order of reports."""
