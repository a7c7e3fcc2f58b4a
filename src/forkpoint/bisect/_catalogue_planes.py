"""Images and volumes: resizes and grids with their gradients, pools, transposed convolutions."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    ALL,
    CHANNELS_LAST,
    FLOATS,
    RARELY,
    Argument,
    Dtype,
    Entry,
    Operand,
    indices,
    normal,
)


def _resizes() -> list[Entry]:
    """Volumes and rows that grow, shrink and double, with the corners kept and not."""
    found: list[Entry] = []
    for shape, to in (
        ((1, 4, 5, 6, 7), (10, 12, 14)), ((1, 4, 5, 6, 7), (3, 4, 5)),
        ((2, 3, 8, 8, 8), (16, 16, 16)), ((1, 2, 9, 7, 5), (4, 13, 8)),
        ((1, 1, 6, 6, 6), (7, 7, 7)), ((1, 4, 8, 8, 8), (7, 7, 7)),
        ((1, 2, 5, 6, 7), (17, 23, 33)),
    ):  # fmt: skip
        for corners in (False, True):
            found += _resized("upsample_trilinear3d", shape, to, corners)
    for shape1, to1 in (((2, 16, 61), (122,)), ((3, 7, 20), (33,)), ((1, 4, 100), (41,))):
        for corners in (False, True):
            found += _resized("upsample_linear1d", shape1, to1, corners)
    for shape2, to2 in (
        ((2, 3, 17, 19), (34, 38)), ((1, 8, 20, 20), (13, 29)), ((1, 3, 64, 64), (32, 32)),
    ):  # fmt: skip
        for corners in (False, True):
            for how in ("bilinear", "bicubic"):
                found += _resized(f"upsample_{how}2d", shape2, to2, corners)
                if not corners:
                    found += _resized(f"_upsample_{how}2d_aa", shape2, to2, corners)
    image = [2, 3, 17, 19]
    grown = (normal(2, 3, 34, 40), [34, 40], image)
    found.append(Entry("aten.upsample_nearest2d_backward.default", grown))
    return found + _of_bytes()


def _of_bytes() -> list[Entry]:
    """Resizes of images as they are read: whole numbers below 256, three channels."""
    found: list[Entry] = []
    for order, name in (((), "bytes"), (CHANNELS_LAST, "bytes, channels last")):
        for to in ([50, 61], [16, 17]):
            image = Operand((2, 3, 33, 35), "integers", high=256, dtype="uint8", order=order)
            for how in ("bilinear", "bicubic"):
                for op in (f"upsample_{how}2d", f"_upsample_{how}2d_aa"):
                    args = (image, to, False)
                    detail = f"{name} to {to[0]}x{to[1]}"
                    found.append(Entry(f"aten.{op}.default", args, ("uint8",), detail=detail))
    return found


def _resized(op: str, shape: tuple[int, ...], to: tuple[int, ...], corners: bool) -> list[Entry]:
    """A resize and its gradient; of images in both memory orders."""
    detail = f"to {'x'.join(map(str, to))}{', corners' if corners else ''}"
    found: list[Entry] = []
    dtypes = FLOATS if op.endswith("_aa") else ALL
    orders: list[tuple[tuple[int, ...], str]] = [((), "")]
    if len(to) == 2 and not corners:
        orders.append((CHANNELS_LAST, ", channels last"))
    # a change of the gradient of a volume is one of a few numbers in half precision
    rarely = RARELY if len(to) == 3 else 1
    for order, name in orders:
        before = Operand(shape, order=order)
        after = Operand((*shape[:2], *to), order=order)
        whole = f"{detail}{name}, resized"
        found.append(Entry(f"aten.{op}.default", (before, [*to], corners), dtypes, detail=whole))
        args: tuple[Argument, ...] = (after, [*to], [*shape], corners)
        found.append(
            Entry(
                f"aten.{op}_backward.default",
                args,
                dtypes,
                detail=f"{detail}{name}",
                rarely=rarely,
            )
        )
    return found


_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _grids() -> list[Entry]:
    """Samples at the places of a grid: each way to interpolate, each way beyond the border."""
    found: list[Entry] = []
    image, out = (2, 3, 17, 19), (2, 3, 11, 13)
    for mode, how in enumerate(_MODES):
        for padding, beyond in enumerate(_PADDINGS):
            for corners in (False, True):
                detail = f"{how}, {beyond}{', corners' if corners else ''}"
                x, grid = normal(*image), normal(2, 11, 13, 2)
                tail = (mode, padding, corners)
                found.append(Entry("aten.grid_sampler_2d.default", (x, grid, *tail), detail=detail))
                args = (normal(*out), x, grid, *tail, [True, True])
                found.append(Entry("aten.grid_sampler_2d_backward.default", args, detail=detail))
                if how == "bicubic":
                    continue
                x, grid = normal(1, 2, 5, 7, 9), normal(1, 4, 6, 5, 3)
                found.append(Entry("aten.grid_sampler_3d.default", (x, grid, *tail), detail=detail))
                args = (normal(1, 2, 4, 6, 5), x, grid, *tail, [True, True])
                found.append(Entry("aten.grid_sampler_3d_backward.default", args, detail=detail))
    return found + _affine_grids()


def _affine_grids() -> list[Entry]:
    """Grids of planes and of volumes, as spatial transformers make them."""
    found: list[Entry] = []
    for corners in (False, True):
        name = "corners" if corners else ""
        for theta, size in (
            ((2, 2, 3), [2, 3, 7, 9]), ((1, 2, 3), [1, 3, 33, 64]), ((1, 3, 4), [1, 2, 4, 5, 6]),
        ):  # fmt: skip
            args = (normal(*theta), size, corners)
            found.append(Entry("aten.affine_grid_generator.default", args, detail=name))
    found.append(
        Entry(
            "aten.affine_grid_generator_backward.default", (normal(2, 7, 9, 2), [2, 3, 7, 9], False)
        )
    )
    return found


def _pools() -> list[Entry]:
    """Other pools, and the gradients of pools; windows overlap, so that sums arise."""
    image, channels = normal(2, 8, 19, 21), (2, 8)
    window: tuple[Argument, ...] = ([3, 3], [2, 2], [1, 1])
    places = indices(19 * 21, *channels, 10, 11)
    small = normal(*channels, 10, 11)
    volume = normal(1, 4, 9, 8, 7)
    unfolded = ([3, 3], [1, 1], [1, 1], [2, 2])
    return [
        Entry(
            "aten.max_pool2d_with_indices_backward.default",
            (small, image, *window, [1, 1], False, places),
        ),
        Entry("aten.avg_pool2d_backward.default", (small, image, *window, False, True, None)),
        Entry(
            "aten.avg_pool2d_backward.default",
            (small, image, *window, False, False, None),
            detail="border left out",
        ),
        Entry("aten._adaptive_avg_pool2d_backward.default", (normal(*channels, 7, 5), image)),
        Entry("aten._adaptive_avg_pool2d.default", (image, [1, 1]), detail="whole"),
        Entry("aten.adaptive_avg_pool1d.default", (normal(2, 8, 61), [7])),
        Entry("aten._adaptive_avg_pool3d.default", (volume, [3, 3, 2])),
        Entry("aten.avg_pool1d.default", (normal(2, 8, 61), [5], [2], [1])),
        Entry(
            "aten.avg_pool3d.default",
            (volume, [3, 3, 3], [2, 2, 2], [1, 1, 1]),
            FLOATS,
            detail="padded",
        ),
        Entry(
            "aten.avg_pool3d_backward.default",
            (normal(1, 4, 5, 4, 4), volume, [3, 3, 3], [2, 2, 2], [1, 1, 1], False, True, None),
            FLOATS,
        ),
        Entry("aten.adaptive_max_pool2d.default", (image, [7, 5])),
        Entry("aten.im2col.default", (image, *unfolded)),
        Entry("aten.col2im.default", (normal(2, 72, 110), [19, 21], *unfolded)),
        Entry(
            "aten.reflection_pad2d_backward.default", (normal(2, 8, 23, 25), image, [2, 2, 2, 2])
        ),
        Entry(
            "aten.replication_pad2d_backward.default", (normal(2, 8, 23, 25), image, [2, 2, 2, 2])
        ),
    ]


def _transposed() -> list[Entry]:
    """Convolutions that grow their input, as upsampling layers are."""
    op = "aten.convolution.default"
    found: list[Entry] = []
    for x, w, step, pad, groups in (
        ((1, 384, 33), (384, 384, 3), 2, 1, 1), ((1, 3, 30), (3, 8, 3), 1, 0, 1),
        ((2, 16, 65), (16, 32, 5), 2, 2, 1), ((3, 64, 50), (64, 1, 3), 1, 2, 64),
        ((2, 80, 40), (80, 96, 3), 1, 1, 1), ((1, 64, 14, 14), (64, 64, 3, 3), 1, 1, 1),
        ((2, 3, 17, 17), (3, 32, 7, 7), 2, 3, 1), ((1, 32, 14, 14), (32, 1, 3, 3), 1, 1, 32),
        ((2, 12, 15, 15), (12, 6, 3, 3), 1, 1, 3), ((1, 3, 6, 6, 6), (3, 8, 3, 3, 3), 1, 1, 1),
        ((1, 256, 8, 8), (256, 128, 4, 4), 2, 1, 1),
    ):  # fmt: skip
        n = len(x) - 2
        bias = normal(w[1] * groups)
        tail: tuple[Argument, ...] = (bias, [step] * n, [pad] * n, [1] * n, True, [0] * n, groups)
        detail = f"transposed {n}d, step {step}"
        found.append(Entry(op, (normal(*x), normal(*w), *tail), detail=detail, rarely=2))
        if n == 2:
            last = [Operand(shape, order=CHANNELS_LAST) for shape in (x, w)]
            found.append(Entry(op, (*last, *tail), detail=f"{detail}, channels last"))
    return found + _plain_convolutions()


def _plain_convolutions() -> list[Entry]:
    """Sizes of which many models have one."""
    op = "aten.convolution.default"
    found: list[Entry] = []
    for x, w, step, pad, groups in (
        ((1, 384, 33), (384, 384, 3), 2, 1, 1), ((2, 12, 31), (24, 3, 3), 1, 1, 4),
        ((1, 1, 200), (1, 1, 7), 1, 3, 1), ((4, 64, 14, 14), (128, 64, 1, 1), 1, 0, 1),
        ((2, 128, 7, 7), (128, 4, 3, 3), 1, 1, 32), ((1, 256, 7, 7), (256, 256, 1, 1), 2, 0, 1),
        ((1, 64, 14, 14), (64, 64, 3, 3), 1, 1, 1), ((2, 8, 8, 8, 8), (8, 1, 3, 3, 3), 1, 1, 8),
        ((2, 16, 7, 7, 7), (16, 8, 3, 3, 3), 2, 1, 2),
    ):  # fmt: skip
        n = len(x) - 2
        tail: tuple[Argument, ...] = ([step] * n, [pad] * n, [1] * n, False, [0] * n, groups)
        args = (normal(*x), normal(*w), normal(w[0]), *tail)
        found.append(Entry(op, args, detail=f"{n}d, step {step}"))
    return found


def _made() -> list[Entry]:
    """What is made of sizes alone; nothing in it is random, so one call is all there is."""
    found: list[Entry] = []
    kwargs: dict[str, Argument] = {"dtype": Dtype()}
    for n in (5, 33, 64, 400, 1000):
        for low, high in ((-1.3, 2.7), (0.0, 1.0), (-1.0, 1.0)):
            detail = f"{n} from {low:g} to {high:g}"
            args = (low, high, n)
            found.append(Entry("aten.linspace.default", args, kwargs=kwargs, detail=detail))
        found.append(
            Entry("aten.logspace.default", (-1.3, 2.7, n), kwargs=kwargs, detail=f"{n} numbers")
        )
        stop = 0.37 * n
        found.append(
            Entry("aten.arange.start_step", (0.1, stop, 0.37), kwargs=kwargs, detail=f"to {stop:g}")
        )
        for op in ("hann", "hamming", "blackman", "bartlett", "kaiser"):
            found.append(
                Entry(f"aten.{op}_window.default", (n,), ALL, kwargs=kwargs, detail=f"{n} numbers")
            )
    return found


PLANES: tuple[Entry, ...] = (*_resizes(), *_grids(), *_pools(), *_transposed(), *_made())
"""In the order of reports."""
