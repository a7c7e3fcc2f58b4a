"""Bytes of tensors, without numpy."""

from __future__ import annotations

import ctypes

import torch


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as contiguous memory in logical order, without lazy conjugation or negation.

    Copies only where it must; the result has the tensor's device, dtype and shape.
    """
    tensor = tensor.detach()
    if tensor.is_conj():
        tensor = tensor.resolve_conj()
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    return tensor.contiguous()


def view_bytes(tensor: torch.Tensor) -> memoryview:
    """A writable memoryview over a contiguous CPU tensor's bytes; the tensor must outlive it."""
    count = tensor.numel() * tensor.element_size()
    if count == 0:
        return memoryview(b"")
    return memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())).cast("B")
