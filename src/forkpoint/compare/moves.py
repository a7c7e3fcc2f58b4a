"""What an op does with numbers: passes them on, draws them at random, or computes new ones.

Only an op that computes can give other bits for the same inputs by itself. One that passes
numbers on (a view, a copy, a permutation) shows what it was given; where its result differs and
its inputs look equal, they were not all seen. One that draws has an input that is never recorded:
the state of a random generator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum


class Work(Enum):
    """What an op does with numbers."""

    PASSES_ON = "passes on"
    DRAWS = "draws"
    COMPUTES = "computes"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VIEWS = _names(
    """
    _conj _fw_primal _indices _make_dual _neg_view _nested_get_values _nested_view_from_buffer
    _nested_view_from_jagged _reshape_alias _sparse_broadcast_to _unpack_dual _unsafe_view _values
    adjoint alias as_strided broadcast_to ccol_indices chunk col_indices complex conj crow_indices
    detach diagonal dsplit expand expand_as flatten hsplit imag indices lift lift_fresh mH mT
    matrix_H moveaxis movedim narrow numpy_T permute positive ravel real reshape reshape_as resize
    resolve_conj resolve_neg row_indices select set slice slice_inverse split split_with_sizes
    squeeze swapaxes swapdims t tensor_split transpose unbind unflatten unfold unsafe_chunk
    unsafe_split unsafe_split_with_sizes unsqueeze values view view_as view_as_complex view_as_real
    vsplit
    """
)
"""The same bits, in another shape or read as another dtype."""

_COPIES = _names(
    """
    _cast _coalesce _copy_from _copy_from_and_resize _foreach_clone _foreach_copy _pin_memory
    _reshape_copy _to_copy _to_cpu _to_dense _to_sparse clone coalesce contiguous copy cpu cuda
    pin_memory resize_as to to_dense to_mkldnn to_sparse to_sparse_csr type_as
    """
)

_PLACINGS = _names(
    """
    _chunk_cat _nested_from_padded _nested_tensor_from_mask
    _nested_tensor_from_tensor_list _pack_padded_sequence _pad_circular _unsafe_index
    _unsafe_masked_index align_to atleast_1d atleast_2d atleast_3d block_diag cat channel_shuffle
    column_stack combinations concat concatenate constant_pad_nd diag diag_embed diagflat
    diagonal_scatter dstack embedding flip fliplr flipud gather hstack im2col index
    index_select masked_scatter masked_select meshgrid native_channel_shuffle
    nested_to_padded_tensor pad pad_sequence pixel_shuffle pixel_unshuffle
    reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d roll rot90 row_stack select_scatter slice_scatter stack
    take take_along_dim tile tril triu unsafe_index vstack where
    """
)
"""Numbers go to other places, each place given by the arguments. Those that put numbers into one
place from several (`scatter`, `index_put`) are not here: which of them stays is the op's work."""

_SELECTIONS = frozenset({"sort", "msort", "topk"})
"""The first result holds numbers of the input in an order that the op finds: that order is
computed (ties may fall either way), the numbers are passed on."""

_DRAWS = _names(
    """
    _fused_dropout _sample_dirichlet _standard_gamma alpha_dropout bernoulli binomial cauchy dropout
    exponential feature_alpha_dropout feature_dropout geometric log_normal multinomial
    native_dropout normal normal_functional poisson rand rand_like randint randint_like randn
    randn_like random randperm rrelu rrelu_with_noise rrelu_with_noise_functional uniform
    """
)

_DRAW_FOR_DROPOUT = re.compile(r"\w*(attention|rnn|lstm|gru)\w*")
"""Ops that are made for dropout and draw nothing where its probability is 0."""

_PLAIN_FLOAT = re.compile(r"(?<=[(,] )-?\d+\.\d+(?:e-?\d+)?(?=[,)])|(?<=[(,] )\d+e-\d+(?=[,)])")


def work_of(op: str, signature: str = "") -> Work:
    """What an op does, by its name (``aten.cat.default``); unknown ones compute.

    ``signature`` (as recorded) tells whether an attention or a recurrent op drops anything out.
    """
    base = _base(op)
    if _is_view(base) or base in _COPIES or base in _PLACINGS:
        return Work.PASSES_ON
    if base in _DRAWS:
        return Work.DRAWS
    if _DRAW_FOR_DROPOUT.fullmatch(base) and any(
        float(number) for number in _PLAIN_FLOAT.findall(signature)
    ):
        return Work.DRAWS
    return Work.COMPUTES


def moves_values(
    op: str, *, inputs: Sequence[str] = (), outputs: Sequence[str] = (), slots: Sequence[int] = ()
) -> bool:
    """Whether an op only puts numbers elsewhere: a view, a copy, a permutation.

    ``inputs`` and ``outputs`` are the dtypes of its tensors, where they are known: a conversion
    to another dtype computes. ``slots`` are the outputs that are in question, where not all are:
    of a sort, the numbers (0) and not the order that it finds (1).
    """
    base = _base(op)
    if base in _SELECTIONS:
        return tuple(slots) == (0,)
    if _is_view(base):
        return True
    if base == "copy" and len(inputs) > 1:  # what it writes to comes first
        return inputs[0] == inputs[1]
    known = bool(inputs and outputs)
    return work_of(op) is Work.PASSES_ON and (not known or outputs[0] in inputs)


def _base(op: str) -> str:
    """``cat`` for ``aten.cat.default``; ops of other makers (``my.cat.default``) are unknown."""
    namespace, _, rest = op.partition(".")
    name = rest.partition(".")[0]
    if namespace not in ("aten", "prims"):
        return ""
    return name.removesuffix("_")


def _is_view(base: str) -> bool:
    return base in _VIEWS or (base.endswith("_copy") and base.removesuffix("_copy") in _VIEWS)
