"""Packed sequences as samples by places, and back."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .values import outputs

Change = Callable[[str, torch.Tensor], torch.Tensor]


def unpacked(value: PackedSequence) -> tuple[torch.Tensor, torch.Tensor]:
    """The samples [samples, places, ...], zero where they are shorter, and their lengths."""
    padded, lengths = pad_packed_sequence(value, batch_first=True)
    return padded, lengths


class Packed:
    """A packed sequence among the arguments of a call."""

    def __init__(self, name: str, value: PackedSequence) -> None:
        self.value = value
        self.tensors = list(zip((name + ".data", name + ".lengths"), unpacked(value)))

    def changed(self, change: Change, as_it_is: bool) -> PackedSequence:
        """Packed again after a change; raises `ValueError` where the order forbids it."""
        if as_it_is:
            kept = [part if part is None else part.clone() for part in self.value]
            return PackedSequence(*kept)
        data, lengths = (change(name, tensor) for name, tensor in self.tensors)
        ordered = self.value.sorted_indices is None
        if ordered and bool((lengths[1:] > lengths[:-1]).any()):
            raise ValueError("it is packed by length, so its samples cannot lie elsewhere")
        return pack_padded_sequence(data, lengths, batch_first=True, enforce_sorted=ordered)


def returned(result: object) -> list[tuple[str, torch.Tensor]]:
    """A module's outputs by name; packed sequences as samples by places, and lengths."""
    return [(name, tensor.detach()) for name, tensor in outputs(_plain(result)).tensors]


def _plain(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return dict(zip(("data", "lengths"), unpacked(value)))
    if type(value) in (tuple, list):
        return type(value)(_plain(item) for item in value)
    return {k: _plain(v) for k, v in value.items()} if type(value) is dict else value
