"""The entries of the catalogue that belong to layers: convolutions, recurrence, gradients."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    CHANNELS_LAST,
    FLOATS,
    HEADS,
    Argument,
    Dtype,
    Entry,
    Operand,
    gate_weights,
    indices,
    normal,
    positive,
    small,
)


def _convolutions() -> list[Entry]:
    found: list[Entry] = []
    for n, c, size, o, k in ((1, 8, 61, 16, 3), (4, 80, 200, 64, 3), (2, 32, 128, 32, 7)):
        tail = ([1], [k // 2], [1], False, [0], 1)
        found.append(
            Entry(
                "aten.convolution.default",
                (normal(n, c, size), normal(o, c, k), normal(o), *tail),
                detail="1d",
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
                (normal(n, c, size, size), normal(o, c, k, k), normal(o), *tail2),
                detail="2d",
            )
        )
    image = normal(2, 8, 33, 33)
    found.append(Entry("aten.avg_pool2d.default", (image, [3, 3], [2, 2])))
    found.append(Entry("aten._adaptive_avg_pool2d.default", (image, [5, 5])))
    found.append(Entry("aten.upsample_bilinear2d.default", (image, [50, 50], False)))
    return found


def _convolution(
    x: Operand, w: Operand, *, step: int = 1, pad: int = 0, groups: int = 1, gaps: int = 1
) -> tuple[Argument, ...]:
    """The arguments of a convolution without a bias, alike in all its dimensions."""
    n = len(x.shape) - 2
    return (x, w, None, [step] * n, [pad] * n, [gaps] * n, False, [0] * n, groups)


def _more_convolutions() -> list[Entry]:
    """By groups and channels, with gaps, in three dimensions, transposed, channels last."""
    op = "aten.convolution.default"
    image, filters = (1, 32, 28, 28), (32, 32, 3, 3)
    last = [Operand(shape, order=CHANNELS_LAST) for shape in (image, filters)]
    x, deep = normal(*image), normal(1, 32, 61)
    found = [
        Entry(op, _convolution(x, normal(32, 1, 3, 3), pad=1, groups=32), detail="by channel"),
        Entry(op, _convolution(x, normal(32, 8, 3, 3), pad=1, groups=4), detail="by group"),
        Entry(op, _convolution(x, normal(*filters), pad=2, gaps=2), detail="with gaps"),
        Entry(op, _convolution(x, normal(48, 32, 3, 3), pad=1, step=2), detail="steps of 2"),
        Entry(op, _convolution(*last, pad=1), detail="channels last"),
        Entry(op, _convolution(deep, normal(32, 1, 4), pad=3, groups=32), detail="1d by channel"),
        Entry(
            op, _convolution(normal(1, 1, 4000), normal(64, 1, 10), step=5), detail="1d, steps of 5"
        ),
        Entry(
            op,
            _convolution(normal(1, 3, 4, 32, 32), normal(16, 3, 2, 16, 16), step=2),
            detail="3d",
        ),
    ]
    for x, w, n in (
        (deep, normal(32, 16, 4), 1),
        (normal(1, 32, 14, 14), normal(32, 16, 2, 2), 2),
    ):
        tail: tuple[Argument, ...] = (None, [2] * n, [0] * n, [1] * n, True, [0] * n, 1)
        found.append(Entry(op, (x, w, *tail), detail=f"transposed {n}d"))
    return found


def _images() -> list[Entry]:
    """Pools, resizes and normalizations of images, in both memory orders."""
    shape = (2, 16, 33, 35)
    orders = {
        "image": normal(*shape),
        "image, channels last": Operand(shape, order=CHANNELS_LAST),
    }
    found: list[Entry] = []
    for name, x in orders.items():
        found += _pools(name, x)
        found += _normalized(name, x)
        for how in ("upsample_bilinear2d", "upsample_bicubic2d"):
            for op in (how, f"_{how}_aa"):
                found += [
                    Entry(f"aten.{op}.default", (x, [h, w], False), detail=f"{name} to {h}x{w}")
                    for h, w in ((50, 61), (16, 17))
                ]
    return found + _resizes()


def _pools(name: str, x: Operand) -> list[Entry]:
    return [
        Entry("aten.avg_pool2d.default", (x, [3, 3], [2, 2], [1, 1]), detail=name),
        Entry("aten.max_pool2d_with_indices.default", (x, [3, 3], [2, 2]), detail=name),
        Entry("aten._adaptive_avg_pool2d.default", (x, [7, 7]), detail=name),
        Entry("aten.mean.dim", (x, [2, 3], False), detail=name),
    ]


def _normalized(name: str, x: Operand) -> list[Entry]:
    n, channels, height, width = x.shape
    affine = (normal(channels), normal(channels))
    by_group = (x, *affine, n, channels, height * width, 4, 1e-5)
    by_batch = "aten.native_batch_norm.default"
    kept = (normal(channels), positive(channels))
    return [
        Entry("aten.native_group_norm.default", by_group, detail=name),
        Entry(by_batch, (x, *affine, *kept, False, 0.1, 1e-5), detail=name),
        Entry(by_batch, (x, *affine, None, None, True, 0.1, 1e-5), detail=f"{name}, training"),
    ]


def _resizes() -> list[Entry]:
    """To the size that many vision models take, and in one and three dimensions.

    Three channels and four run through different kernels.
    """
    found = [
        Entry(
            f"aten.upsample_{how}2d.default",
            (normal(1, channels, 33, 35), [224, 224], corners),
            detail=f"to 224x224{', corners' if corners else ''}",
        )
        for how in ("bilinear", "bicubic")
        for channels in (3, 4)
        for corners in (False, True)
    ]
    found.append(Entry("aten.upsample_linear1d.default", (normal(2, 16, 61), [100], False)))
    found.append(
        Entry("aten.upsample_trilinear3d.default", (normal(1, 4, 5, 6, 7), [9, 10, 11], False))
    )
    found.append(Entry("aten.avg_pool3d.default", (normal(1, 4, 8, 9, 10), [2, 2, 2])))
    grid = Operand((2, 15, 15, 2), scale=0.5)
    for how, name in ((0, "bilinear"), (2, "bicubic")):
        found.append(
            Entry(
                "aten.grid_sampler_2d.default",
                (normal(2, 8, 20, 20), grid, how, 0, False),
                detail=name,
            )
        )
    return found


def _recurrent() -> list[Entry]:
    """One layer of each kind, over a batch of three sequences of 20."""
    found: list[Entry] = []
    for name, gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1)):
        start: Argument = normal(1, 3, 64)
        if name == "lstm":
            start = [normal(1, 3, 64), normal(1, 3, 64)]
        args = (
            normal(3, 20, 48),
            start,
            [*gate_weights(gates, 48, 64)],
            True,
            1,
            0.0,
            False,
            False,
            True,
        )
        found.append(Entry(f"aten.{name}.input", args))
    return found


def _whole() -> list[Entry]:
    """An encoder layer in one op, as torch.nn.TransformerEncoderLayer calls it at inference."""
    width, heads, inner = 64, 4, 128
    attention = (
        small(3 * width, width), small(3 * width), small(width, width), small(width),
    )  # fmt: skip
    feed = (small(inner, width), small(inner), small(width, inner), small(width))
    norms = (positive(width), small(width), positive(width), small(width))
    source = normal(2, 33, width)
    encoder = (source, width, heads, *attention, True, False, 1e-5, *norms, *feed)
    return [
        Entry("aten._transformer_encoder_layer_fwd.default", encoder),
        Entry(
            "aten._native_multi_head_attention.default",
            (source, source, source, width, heads, *attention),
        ),
    ]


def _gradients() -> list[Entry]:
    """What training calls backwards; outputs and statistics are random numbers, too."""
    row, shape = normal(61, 384), (61, 384)
    found = [
        Entry(f"aten.{op}_backward.default", (row, Operand(shape)))
        for op in ("gelu", "silu", "tanh", "sigmoid", "mish", "hardswish")
    ]
    of_softmax = (row, positive(*shape), -1, Dtype())
    for op in ("_softmax", "_log_softmax"):
        found.append(Entry(f"aten.{op}_backward_data.default", of_softmax))
    looked_up = (normal(300, 96), indices(100, 300), 100, -1, False)
    found.append(Entry("aten.embedding_dense_backward.default", looked_up))
    return found + _layer_gradients() + _attention_gradients()


def _layer_gradients() -> list[Entry]:
    """Of normalizations and convolutions, by their input, their weight and their bias."""
    all_three = [True, True, True]
    rows, row = normal(61, 384), normal(384)
    by_row = (rows, normal(61, 384), [384], normal(61, 1), positive(61, 1), row, row, all_three)
    n, c, s, groups = 2, 16, 49, 4
    moments = (normal(n, groups), positive(n, groups))
    by_group = (normal(n, c, s), normal(n, c, s), *moments, normal(c), n, c, s, groups, all_three)
    by_batch = (
        normal(n, c, s), normal(n, c, s), normal(c), None, None, normal(c), positive(c),
        True, 1e-5, all_three,
    )  # fmt: skip
    x, w = normal(2, 8, 14, 14), normal(16, 8, 3, 3)
    tail = ([16], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, all_three)
    return [
        Entry("aten.native_layer_norm_backward.default", by_row),
        Entry("aten.native_group_norm_backward.default", by_group, dtypes=FLOATS),
        Entry("aten.native_batch_norm_backward.default", by_batch, detail="training"),
        Entry("aten.convolution_backward.default", (normal(2, 16, 14, 14), x, w, *tail)),
    ]


def _attention_gradients() -> list[Entry]:
    """Of flash attention; the sums behind its softmax are float32 where the rest is less."""
    op = "aten._scaled_dot_product_flash_attention_for_cpu_backward.default"
    heads = [Operand((2, 4, 33, 32), order=HEADS)] * 5
    sums = Operand((2, 4, 33), shift=6.0, scale=0.1)
    wide = Operand((2, 4, 33), shift=6.0, scale=0.1, dtype="float32")
    return [
        Entry(op, (*heads, sums, 0.0, False), dtypes=FLOATS),
        Entry(op, (*heads, wide, 0.0, False), dtypes=("bfloat16", "float16")),
    ]


LAYERS: tuple[Entry, ...] = (
    *_convolutions(),
    *_more_convolutions(),
    *_images(),
    *_recurrent(),
    *_whole(),
    *_gradients(),
)
"""In the order of reports."""
