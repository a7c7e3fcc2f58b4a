"""Gradients of normalizations, convolutions, activations and losses, and steps of optimizers."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    CHANNELS_LAST,
    FLOATS,
    HALF,
    Argument,
    Entry,
    Operand,
    constant,
    indices,
    named,
    normal,
    positive,
)

_ALL_THREE = [True, True, True]
_ROWS = (
    (128, 30), (33, 65), (100, 10), (64, 100), (8, 7), (1, 768), (3, 4096), (1, 384), (2, 384),
    (16, 384), (512, 768), (7, 1024), (256, 33), (2, 31),
)  # fmt: skip


def _of_rows() -> list[Entry]:
    """Of layer norm over few rows and many, short and long, with its weight and without."""
    found: list[Entry] = []
    op = "aten.native_layer_norm_backward.default"
    for m, n in _ROWS:
        pair, moments = (normal(m, n), normal(m, n), [n]), (normal(m, 1), positive(m, 1))
        affine = (normal(n), normal(n))
        # as under autocast: half precision between weights and moments in float32
        wide = [Operand(x.shape, x.fill, x.scale, x.shift, dtype="float32") for x in moments]
        heavy = [Operand((n,), dtype="float32")] * 2
        found += [
            Entry(op, (*pair, *moments, *affine, _ALL_THREE), detail="by rows"),
            Entry(op, (*pair, *moments, None, None, [True, False, False]), detail="plain"),
            Entry(op, (*pair, *wide, *heavy, _ALL_THREE), dtypes=HALF, detail="mixed"),
        ]
    return found


def _of_groups() -> list[Entry]:
    """Group norm over other numbers of groups and in another memory order, and its gradient."""
    found: list[Entry] = []
    for n, c, h, w, groups in (
        (2, 32, 7, 9, 1), (2, 32, 7, 9, 2), (2, 32, 7, 9, 8), (2, 32, 7, 9, 32), (1, 64, 16, 16, 8),
        (1, 64, 16, 16, 32), (3, 16, 5, 5, 1), (3, 16, 5, 5, 16), (2, 320, 8, 8, 32),
        (2, 6, 33, 35, 3), (1, 128, 1, 1, 32),
    ):  # fmt: skip
        shape, affine = (n, c, h, w), (normal(c), normal(c))
        moments = (normal(n, groups), positive(n, groups))
        sizes = (n, c, h * w, groups)
        for order, name in (((), ""), (CHANNELS_LAST, ", channels last")):
            x = Operand(shape, order=order)
            detail = f"{groups} groups{name}"
            found.append(
                Entry("aten.native_group_norm.default", (x, *affine, *sizes, 1e-5), detail=detail)
            )
            found.append(
                Entry(
                    "aten.native_group_norm_backward.default",
                    (x, x, *moments, normal(c), *sizes, _ALL_THREE),
                    detail=detail,
                )
            )
    return found


def _of_batches() -> list[Entry]:
    """Of batch norm, in training and with statistics that were kept, in both memory orders."""
    found: list[Entry] = []
    op = "aten.native_batch_norm_backward.default"
    for shape in ((2, 32, 7, 7), (5, 12, 9, 11), (1, 64, 16, 16), (16, 3, 20, 20)):
        c = shape[1]
        kept = (normal(c), positive(c))
        for order, name in (((), "image"), (CHANNELS_LAST, "channels last")):
            x = Operand(shape, order=order)
            for train in (True, False):
                statistics = (None, None, *kept) if train else (*kept, None, None)
                found.append(
                    Entry(
                        op,
                        (x, x, normal(c), *statistics, train, 1e-5, _ALL_THREE),
                        detail=f"{name}{', training' if train else ''}",
                    )
                )
    for rows in ((64, 100), (33, 7), (4, 16, 61)):
        c = rows[1]
        running = (normal(c), positive(c), None, None, False, 1e-5, _ALL_THREE)
        found.append(Entry(op, (normal(*rows), normal(*rows), normal(c), *running), detail="rows"))
    return found


def _of_convolutions() -> list[Entry]:
    """By input, weight and bias, in one to three dimensions; transposed ones, too."""
    op = "aten.convolution_backward.default"
    found: list[Entry] = []
    for name, x, w, out, step, pad, gaps, flipped, groups in (
        ("1d", (2, 16, 65), (32, 16, 5), (2, 32, 33), 2, 2, 1, False, 1),
        ("1d", (1, 64, 50), (64, 1, 3), (1, 64, 50), 1, 2, 2, False, 64),
        ("1d", (4, 80, 100), (96, 80, 3), (4, 96, 100), 1, 1, 1, False, 1),
        ("1d", (1, 384, 33), (384, 384, 3), (1, 384, 17), 2, 1, 1, False, 1),
        ("2d", (2, 3, 28, 28), (16, 3, 7, 7), (2, 16, 14, 14), 2, 3, 1, False, 1),
        ("2d", (3, 32, 14, 14), (32, 1, 3, 3), (3, 32, 14, 14), 1, 1, 1, False, 32),
        ("2d", (2, 64, 14, 14), (96, 64, 1, 1), (2, 96, 14, 14), 1, 0, 1, False, 1),
        ("2d", (1, 5, 13, 13), (7, 5, 3, 3), (1, 7, 13, 13), 1, 2, 2, False, 1),
        ("3d", (1, 3, 7, 7, 7), (8, 3, 3, 3, 3), (1, 8, 7, 7, 7), 1, 1, 1, False, 1),
        ("transposed 1d", (1, 64, 21), (64, 48, 3), (1, 48, 43), 2, 0, 1, True, 1),
        ("transposed 2d", (2, 16, 9, 9), (16, 24, 2, 2), (2, 24, 18, 18), 2, 0, 1, True, 1),
    ):  # fmt: skip
        n = len(x) - 2
        bias = w[1] * groups if flipped else w[0]
        tail = ([bias], [step] * n, [pad] * n, [gaps] * n, flipped, [0] * n, groups, _ALL_THREE)
        found.append(
            Entry(op, (normal(*out), normal(*x), normal(*w), *tail), detail=f"{name}, step {step}")
        )
        if n == 2:
            last = [Operand(shape, order=CHANNELS_LAST) for shape in (out, x, w)]
            found.append(Entry(op, (*last, *tail), detail=f"{name}, step {step}, channels last"))
    return found


def _of_activations() -> list[Entry]:
    """Also where the input lies exactly at the edge of two pieces, as 0 of a relu."""
    found: list[Entry] = []
    tails: dict[str, tuple[Argument, ...]] = {
        "threshold": (0,), "hardtanh": (-1.0, 1.0), "softplus": (1.0, 20.0),
        "leaky_relu": (0.1, False), "hardsigmoid": (), "hardswish": (), "hardshrink": (1.0,),
        "softshrink": (1.0,), "logit": (1e-6,),
    }  # fmt: skip
    edges = Operand((61, 97), fill="integers", high=4)
    x, above = normal(16411), positive(16411)
    for name, tail in tails.items():
        op = f"aten.{name}_backward.default"
        found.append(Entry(op, (normal(61, 97), edges, *tail), detail="at edges"))
        found.append(Entry(op, (x, x, *tail)))
    found.append(Entry("aten.elu_backward.default", (x, 1.0, 1.0, 1.0, False, x)))
    found.append(Entry("aten.log_sigmoid_backward.default", (x, x, above)))
    tanh: dict[str, Argument] = {"approximate": "tanh"}
    found.append(Entry("aten.gelu_backward.default", (x, x), kwargs=tanh, detail="tanh"))
    for op in ("gelu", "silu", "mish", "tanh", "sigmoid"):
        found.append(Entry(f"aten.{op}_backward.default", (x, x)))
    found.append(Entry("aten.glu_backward.default", (normal(61, 96), normal(61, 192), -1)))
    weighed = (normal(5, 8, 7), normal(5, 8, 7), normal(1, 8, 1))
    found.append(Entry("aten._prelu_kernel_backward.default", weighed))
    for name, pieces in (("", normal(61, 97)), ("at edges", edges)):
        found.append(Entry("aten.clamp.default", (pieces, 0.0, 2.0), detail=name))
        found.append(Entry("aten.clamp_min.default", (pieces, 1.0), detail=name))
    return found


def _of_losses() -> list[Entry]:
    """Of losses that are means over all numbers."""
    found: list[Entry] = []
    pair = (normal(), normal(61, 97), positive(61, 97))
    for op, tail in (
        ("mse_loss", (1,)), ("smooth_l1_loss", (1, 1.0)), ("huber_loss", (1, 1.0)),
        ("soft_margin_loss", (1,)),
    ):  # fmt: skip
        found.append(Entry(f"aten.{op}_backward.default", (*pair, *tail)))
    between = Operand((61, 97), fill="uniform", scale=0.9, shift=0.05)
    target = Operand((61, 97), fill="uniform")
    found.append(
        Entry("aten.binary_cross_entropy_backward.default", (normal(), between, target, None, 1))
    )
    total = positive()
    for shape, op in (((33, 100), "nll_loss"), ((2, 10, 7, 7), "nll_loss2d")):
        classes = indices(shape[1], shape[0], *shape[2:])
        args = (normal(), normal(*shape), classes, None, 1, -100, total)
        found.append(Entry(f"aten.{op}_backward.default", args))
    margins = (normal(), normal(33, 20), indices(20, 33), 1, 1.0, None, 1)
    found.append(Entry("aten.multi_margin_loss_backward.default", margins, dtypes=FLOATS))
    for p in (1.0, 2.0, 3.0):
        pair = (normal(61, 33), normal(61, 96), normal(33, 96))
        found.append(
            Entry(
                "aten._cdist_backward.default",
                (*pair, p, positive(61, 33)),
                dtypes=FLOATS,
                detail=f"p={p:g}",
            )
        )
    found.append(
        Entry(
            "aten._weight_norm_interface_backward.default",
            (normal(16, 8, 3), normal(16, 8, 3), positive(16, 1, 1), positive(16, 1, 1), 0),
            dtypes=FLOATS,
        )
    )
    return found


_SIZES = ((33, 7), (65,), (1000,))


def _optimizers() -> list[Entry]:
    """Steps of optimizers over a list of tensors in one op, and of their parts."""
    found: list[Entry] = []
    many = [normal(*size) for size in _SIZES]
    above = [Operand(size, fill="uniform", scale=0.1) for size in _SIZES]
    count = [constant(3, dtype="float32") for _ in _SIZES]
    common: dict[str, Argument] = {"lr": 0.01, "weight_decay": 0.1, "maximize": False}
    adam = {**common, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    for op in ("_fused_adam", "_fused_adamw"):
        for better in (False, True):
            args: tuple[Argument, ...] = (many, many, many, above, above if better else [], count)
            kwargs: dict[str, Argument] = {**adam, "amsgrad": better}
            found.append(
                Entry(
                    f"aten.{op}_.default", args, kwargs=kwargs, detail="amsgrad" if better else ""
                )
            )
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
        kwargs = {
            **common, "momentum": momentum, "dampening": 0.0, "nesterov": nesterov,
            "is_first_step": False,
        }  # fmt: skip
        args = (many, many, many if momentum else [])
        detail = f"momentum {momentum:g}{', nesterov' if nesterov else ''}"
        found.append(Entry("aten._fused_sgd_.default", args, kwargs=kwargs, detail=detail))
    kwargs = {**common, "lr_decay": 0.01, "eps": 1e-10}
    found.append(Entry("aten._fused_adagrad_.default", (many, many, above, count), kwargs=kwargs))
    found.append(Entry("aten._foreach_addcdiv.Scalar", (many, many, above, -0.01)))
    found.append(Entry("aten._foreach_addcmul.Scalar", (many, many, many, 0.1)))
    found.append(Entry("aten._foreach_lerp.Scalar", (many, many, 0.1)))
    found.append(Entry("aten._foreach_sqrt.default", (above,)))
    found.append(Entry(named("_foreach_add.List"), (many, many), kwargs={"alpha": 0.37}))
    return found


GRADIENTS: tuple[Entry, ...] = (
    *_of_rows(),
    *_of_groups(),
    *_of_batches(),
    *_of_convolutions(),
    *_of_activations(),
    *_of_losses(),
    *_optimizers(),
)
"""In the order of reports."""
