"""Which of an op's outputs is its result, and which are kept beside it for other uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forkpoint.compare.measure import Measured
from forkpoint.model import Metrics

_NORMS = ("output", "mean", "rstd")
_BATCH_NORMS = ("output", "mean", "inverse std")
_FLASH = ("output", "logsumexp", "cum_seq_q", "cum_seq_k", "max_q", "max_k", "seed", "offset")
_NAMES = {
    "native_layer_norm": _NORMS,
    "native_group_norm": _NORMS,
    "_fused_rms_norm": ("output", "rstd"),
    "native_batch_norm": _BATCH_NORMS,
    "cudnn_batch_norm": (*_BATCH_NORMS, "reserve"),
    "miopen_batch_norm": _BATCH_NORMS,
    "_native_batch_norm_legit": _BATCH_NORMS,
    "_native_batch_norm_legit_no_training": _BATCH_NORMS,
    "_batch_norm_impl_index": (*_BATCH_NORMS, "reserve"),
    "_batch_norm_with_update": (*_BATCH_NORMS, "reserve"),
    "_scaled_dot_product_flash_attention_for_cpu": ("output", "logsumexp"),
    "_scaled_dot_product_flash_attention": _FLASH,
    "_scaled_dot_product_cudnn_attention": _FLASH,
    "_scaled_dot_product_efficient_attention": ("output", "logsumexp", "seed", "offset"),
    "_scaled_dot_product_fused_attention_overrideable": _FLASH,
    "_flash_attention_forward": ("output", "logsumexp", "seed", "offset"),
    "_efficient_attention_forward": ("output", "logsumexp", "seed", "offset"),
    "_scaled_dot_product_attention_math": ("output", "weights"),
    "native_dropout": ("output", "mask"),
    "_fused_dropout": ("output", "mask"),
    "max": ("values", "indices"),
    "min": ("values", "indices"),
    "median": ("values", "indices"),
    "nanmedian": ("values", "indices"),
    "mode": ("values", "indices"),
    "kthvalue": ("values", "indices"),
    "cummax": ("values", "indices"),
    "cummin": ("values", "indices"),
    "topk": ("values", "indices"),
    "sort": ("values", "indices"),
    "aminmax": ("min", "max"),
    "max_pool2d_with_indices": ("output", "indices"),
    "max_pool3d_with_indices": ("output", "indices"),
    "fractional_max_pool2d": ("output", "indices"),
    "fractional_max_pool3d": ("output", "indices"),
    "adaptive_max_pool2d": ("output", "indices"),
    "adaptive_max_pool3d": ("output", "indices"),
    "embedding_bag": ("output", "offset of indices", "sizes of bags", "largest indices"),
    "_embedding_bag": ("output", "offset of indices", "sizes of bags", "largest indices"),
    "_embedding_bag_forward_only": (
        *("output", "offset of indices", "sizes of bags", "largest indices"),
    ),
    "log_sigmoid_forward": ("output", "buffer"),
    "nll_loss_forward": ("output", "total weight"),
    "nll_loss2d_forward": ("output", "total weight"),
    "multilabel_margin_loss_forward": ("output", "is_target"),
    "_ctc_loss": ("loss", "log alpha"),
    "_weight_norm_interface": ("weight", "norms"),
    "_thnn_fused_lstm_cell": ("hidden", "cell", "workspace"),
    "_thnn_fused_gru_cell": ("hidden", "workspace"),
    "_cudnn_rnn": ("output", "hidden", "cell", "reserve", "weights"),
    "_unique2": ("values", "inverse", "counts"),
    "frexp": ("mantissa", "exponent"),
}
"""Outputs by slot, of ops that return more than one."""

_MAIN_COUNTS = {
    "aminmax": 2, "frexp": 2, "_thnn_fused_lstm_cell": 2, "_cudnn_rnn": 3, "_unique2": 3,
}  # fmt: skip
"""How many of those outputs are what the op is called for, where it is not the first alone."""

_SEVERAL = re.compile(
    r".*backward.*|_foreach_.*|_?fused_.*|linalg_.*|lstm.*|gru.*|rnn_.*|_?svd|qr|slogdet|.*var_mean"
    r"|std_mean|split.*|unbind|chunk|tensor_split|meshgrid|histogram.*|unique.*|lu_unpack|geqrf"
)
"""Other ops of which every output is a result: gradients, lists, decompositions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The output that speaks for a differing op call: its metrics, its name, and its rank.

    ``side_only``: the op's result is equal, and only what it returns beside it differs.
    """

    metrics: Metrics | None
    output: str = ""
    slot: int = 0
    side_only: bool = False


NOTHING_SHOWN = Shown(metrics=None)
"""For a call of which no output differs."""


def shown(op: str, measured: Sequence[Measured]) -> Shown:
    """Which output of a differing call to speak of: the one of its results that says most.

    What is returned beside the result (the means of a normalisation, an attention's sums, indices)
    is spoken of only where nothing else differs.
    """
    unlike = [one for one in measured if not one.equal]
    if not unlike:
        return NOTHING_SHOWN
    main = [one for one in unlike if is_main(op, one.baseline.slot)]
    spoken_of = main or unlike
    most = largest(one.metrics for one in spoken_of)
    chosen = next(one for one in spoken_of if one.metrics is most or most is None)
    slot = chosen.baseline.slot
    return Shown(
        metrics=most,
        output=output_name(op, slot) if len(measured) > 1 else "output",
        slot=slot,
        side_only=not main,
    )


def largest(measured: Iterable[Metrics | None]) -> Metrics | None:
    """The metrics that say most, or None where nothing was measured.

    A NaN or an infinity on one side weighs more than any difference; how many there are does not
    count, as it would favour larger tensors.
    """
    known = [metrics for metrics in measured if metrics is not None]
    return max(known, key=lambda m: (m.nonfinite_mismatches > 0, m.max_abs), default=None)


def is_main(op: str, slot: int) -> bool:
    """Whether an output is (part of) what the op is called for, and nothing kept beside it."""
    base = _base(op)
    if base not in _NAMES and _SEVERAL.fullmatch(base):
        return True
    return slot < _MAIN_COUNTS.get(base, 1)


def output_name(op: str, slot: int) -> str:
    """``rstd``; ``output 1`` where outputs have no names."""
    names = _NAMES.get(_base(op), ())
    return names[slot] if slot < len(names) else f"output {slot}"


def _base(op: str) -> str:
    """``native_layer_norm`` of ``aten.native_layer_norm.default``."""
    parts = op.split(".")
    return parts[1].removesuffix("_") if len(parts) > 1 and parts[0] == "aten" else ""
