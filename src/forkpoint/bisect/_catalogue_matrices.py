"""Linear algebra of small matrices, Fourier transforms, lookups with sums, and losses."""

from __future__ import annotations

from forkpoint.bisect._catalogue_entry import (
    COMPLEX,
    FLOATS,
    Argument,
    Entry,
    Operand,
    constant,
    gate_weights,
    indices,
    named,
    normal,
    positive,
    steps,
)


def _definite(*shape: int) -> Operand:
    return Operand(shape, fill="definite")


def _exponentials() -> list[Entry]:
    """Of matrices of each small size, from almost 0 to large: each takes another polynomial."""
    sizes = [(n, n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 17, 64)] + [(20, 3, 3)]
    return [
        Entry(
            "aten.linalg_matrix_exp.default",
            (Operand(shape, scale=scale),),
            dtypes=FLOATS,
            detail=f"times {scale:g}",
        )
        for shape in sizes
        for scale in (0.01, 0.1, 1.0, 5.0)
    ]


def _decompositions() -> list[Entry]:
    """Of any matrix, and of positive definite ones."""
    found: list[Entry] = []
    for shape in ((2, 2), (3, 3), (5, 5), (17, 17), (64, 64), (129, 129), (20, 3, 3)):
        n, x, p = shape[-1], normal(*shape), _definite(*shape)
        b = normal(*shape[:-1], 3)
        if n not in (8, 33):
            for op in ("linalg_inv_ex", "linalg_qr", "_linalg_svd", "linalg_eigvals"):
                found.append(Entry(named(op), (x,), FLOATS))
            found.append(Entry("aten._linalg_solve_ex.default", (x, b), FLOATS))
        for op in ("linalg_lu_factor_ex", "linalg_lu", "_linalg_det", "_linalg_slogdet", "geqrf"):
            found.append(Entry(named(op), (x,), FLOATS))
        for op in ("linalg_cholesky_ex", "_linalg_eigh", "linalg_inv_ex", "linalg_ldl_factor_ex"):
            found.append(Entry(named(op), (p,), FLOATS, detail="definite"))
        found.append(Entry("aten._linalg_solve_ex.default", (p, b), FLOATS, detail="definite"))
        for upper in (False, True):
            kwargs: dict[str, Argument] = {"upper": upper}
            how = "upper" if upper else "lower"
            args = (p, b)
            found.append(Entry("aten.linalg_solve_triangular.default", args, FLOATS, kwargs, how))
            found.append(Entry("aten.triangular_solve.default", (b, p, upper), FLOATS, detail=how))
            found.append(Entry("aten.cholesky_inverse.default", (p, upper), FLOATS, detail=how))
            found.append(Entry("aten.cholesky_solve.default", (b, p, upper), FLOATS, detail=how))
        found.append(
            Entry("aten.linalg_householder_product.default", (x, positive(*shape[:-1])), FLOATS)
        )
    return found


def _transforms() -> list[Entry]:
    """Of complex rows, of other lengths, and of planes."""
    found: list[Entry] = []
    for n in (5, 8, 17, 20, 64, 97, 127, 400, 1000, 4096):
        z = Operand((3, n), dtype=COMPLEX)
        for forward in (True, False):
            detail = "there" if forward else "back"
            found.append(
                Entry("aten._fft_c2c.default", (z, [1], 1, forward), FLOATS, detail=detail)
            )
        found.append(Entry("aten._fft_r2c.default", (normal(3, n), [1], 1, True), FLOATS))
        half = Operand((3, n // 2 + 1), dtype=COMPLEX)
        found.append(Entry("aten._fft_c2r.default", (half, [1], 1, n), FLOATS, detail=f"to {n}"))
    for shape in ((2, 12, 20), (3, 32, 32), (1, 30, 7)):
        z = Operand(shape, dtype=COMPLEX)
        found.append(Entry("aten._fft_c2c.default", (z, [1, 2], 0, True), FLOATS, detail="planes"))
        whole = (normal(*shape), [1, 2], 0, True)
        found.append(Entry("aten._fft_r2c.default", whole, FLOATS, detail="plane"))
        last = 2 * (shape[-1] - 1)
        found.append(Entry("aten._fft_c2r.default", (z, [1, 2], 2, last), FLOATS, detail="planes"))
    return found


def _scattered() -> list[Entry]:
    """Sums of what meets at one place, and pieces of a tensor reduced one by one."""
    found: list[Entry] = []
    x, rows, source = normal(33, 65), indices(33, 50), normal(50, 65)
    for how in ("sum", "prod", "mean", "amax", "amin"):
        for whole in (True, False):
            kwargs: dict[str, Argument] = {"include_self": whole}
            name = f"{how}{'' if whole else ', itself left out'}"
            args = (x, 0, indices(33, 50, 65), source, how)
            found.append(Entry("aten.scatter_reduce.two", args, kwargs=kwargs, detail=name))
            if how != "sum":
                args = (x, 0, rows, source, how)
                found.append(Entry("aten.index_reduce.default", args, kwargs=kwargs, detail=name))
    for how in ("sum", "prod", "mean", "max", "min"):
        kwargs = {"lengths": constant(5, 12)}
        found.append(
            Entry("aten.segment_reduce.default", (normal(60, 5), how), kwargs=kwargs, detail=how)
        )
    found += [
        Entry(
            "aten.index_add.default", (x, 0, rows, source), kwargs={"alpha": 0.7}, detail="scaled"
        ),
        Entry(
            "aten.scatter_add.default", (x, 1, indices(65, 33, 200), normal(33, 200)), detail="rows"
        ),
        Entry("aten.put.default", (x, indices(2145, 500), normal(500), True)),
        Entry("aten.bincount.default", (indices(20, 500), positive(500)), FLOATS),
        Entry(
            "aten.bucketize.Tensor", (Operand((33, 65), scale=3.0, shift=8.0), steps(2, 9, None))
        ),
        Entry(
            "aten.searchsorted.Tensor", (steps(1, 9, None), Operand((500,), scale=3.0, shift=4.0))
        ),
    ]
    return found


def _bags() -> list[Entry]:
    """Sums, means and maxima over pieces of a lookup, weighed and not, and their gradients."""
    found: list[Entry] = []
    for d in (5, 64, 129, 384):
        args: tuple[Argument, ...] = (normal(50, d), indices(50, 264), steps(33, 8))
        for mode, how in enumerate(("sum", "mean", "max")):
            found.append(
                Entry("aten._embedding_bag.default", (*args, False, mode, False), detail=how)
            )
        weighed = (*args, False, 0, False, normal(264))
        found.append(Entry("aten._embedding_bag.default", weighed, detail="weighed"))
        bags = (normal(8, d), indices(50, 264), indices(8, 264), constant(33, 8))
        for mode, how in enumerate(("sum", "mean")):
            # which bag each number belongs to ascends in fact, and need not for the sum
            tail = (constant(0, 8), 50, False, mode, None)
            found.append(
                Entry("aten._embedding_bag_dense_backward.default", (*bags, *tail), detail=how)
            )
        for rows in (33, 300):
            looked_up = (normal(rows, d), indices(50, rows), 50, -1, True)
            found.append(
                Entry("aten.embedding_dense_backward.default", looked_up, detail="by frequency")
            )
    return found


def _losses() -> list[Entry]:
    """Losses with classes, with margins, between distributions, and of alignments."""
    logits, classes = normal(33, 20), indices(20, 33)
    x, y, signs = normal(61, 97), normal(61, 97), constant(1, 61, dtype=None)
    between = Operand((61, 97), fill="uniform", scale=0.9, shift=0.05)
    found = [
        Entry(
            "aten.cross_entropy_loss.default",
            (normal(n, c), indices(c, n), None, 1, -100, 0.1),
            detail="smoothed",
        )
        for n, c in ((33, 1000), (7, 20))
    ]
    found += [
        Entry("aten.cross_entropy_loss.default", (logits, classes, positive(20)), detail="weighed"),
        Entry(
            "aten.nll_loss2d_forward.default",
            (normal(2, 10, 7, 7), indices(10, 2, 7, 7), None, 1, -100),
        ),
        Entry("aten.multi_margin_loss.default", (logits, classes), FLOATS),
        Entry(
            "aten.multilabel_margin_loss_forward.default", (logits, indices(20, 33, 20), 1), FLOATS
        ),
        Entry("aten.soft_margin_loss.default", (x, y)),
        Entry("aten.hinge_embedding_loss.default", (normal(61), signs)),
        Entry("aten.margin_ranking_loss.default", (normal(61), normal(61), signs, 0.5)),
        Entry("aten.cosine_embedding_loss.default", (x, y, signs)),
        Entry("aten.triplet_margin_loss.default", (x, y, normal(61, 97))),
        Entry("aten.poisson_nll_loss.default", (x, positive(61, 97), True, True, 1e-8, 1)),
        Entry("aten.binary_cross_entropy.default", (between, Operand((61, 97), fill="uniform"))),
        Entry("aten.l1_loss.default", (x, y)),
    ]
    for t, n, c, length in ((20, 3, 7, 5), (50, 2, 20, 12)):
        lengths: tuple[Argument, ...] = ([t] * n, [length] * n)
        scores = Operand((t, n, c), fill="uniform", shift=-4.0)
        labels = Operand((n, length), fill="integers", high=c - 1, dtype="int64")
        # 0 is the blank; as a label it is one more symbol to the sums
        args = (scores, labels, *lengths, c - 1, False)
        found.append(Entry("aten._ctc_loss.default", args, FLOATS))
    return found


def _recurrent() -> list[Entry]:
    """Two layers in both directions, and single cells."""
    found: list[Entry] = []
    for name, gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1)):
        for t, b, inputs, width in ((7, 2, 16, 32), (10, 4, 128, 128)):
            layers: list[Argument] = []
            for size in (inputs, 2 * width):
                for _ in range(2):
                    layers += gate_weights(gates, size, width)
            start = normal(4, b, width)
            state: Argument = [start, start] if name == "lstm" else start
            args = (normal(t, b, inputs), state, layers, True, 2, 0.0, False, True, False)
            found.append(Entry(f"aten.{name}.input", args, detail="both ways"))
    for name, gates in (
        ("lstm_cell", 4),
        ("gru_cell", 3),
        ("rnn_tanh_cell", 1),
        ("rnn_relu_cell", 1),
    ):
        for b, inputs, width in ((1, 64, 64), (3, 33, 65)):
            held: Argument = normal(b, width)
            if name == "lstm_cell":
                held = [normal(b, width), normal(b, width)]
            weights = gate_weights(gates, inputs, width)
            found.append(Entry(named(name), (normal(b, inputs), held, *weights)))
    return found


MATRICES: tuple[Entry, ...] = (
    *_exponentials(),
    *_decompositions(),
    *_transforms(),
    *_scattered(),
    *_bags(),
    *_losses(),
    *_recurrent(),
)
"""In the order of reports."""
