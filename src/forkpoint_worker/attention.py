"""Attention written out, in place of torch's one op for it: products, a softmax, a product."""

from __future__ import annotations

import math
from typing import Any, Optional

import torch


def eager(  # noqa: PLR0913, PLR0917 - torch's own signature
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: Optional[torch.Tensor] = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
    **more: Any,
) -> torch.Tensor:
    """What `torch.nn.functional.scaled_dot_product_attention` documents, op by op.

    Raises `TypeError` for an argument that this does not know.
    """
    if more:
        raise TypeError("eager attention does not know %s" % ", ".join(sorted(more)))
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    weights = query @ key.transpose(-2, -1) * factor
    if is_causal:
        size = weights.shape[-2:]
        ahead = torch.ones(size, dtype=torch.bool, device=query.device).triu(1)
        weights = weights.masked_fill(ahead, float("-inf"))
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        weights = weights.masked_fill(~attn_mask, float("-inf")) if masked else weights + attn_mask
    weights = torch.softmax(weights, -1)
    return torch.dropout(weights, dropout_p, dropout_p > 0.0) @ value
