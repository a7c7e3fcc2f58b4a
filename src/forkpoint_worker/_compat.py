"""What differs between torch releases, found by looking, never by version number."""

import contextlib

import torch
import torch.utils._python_dispatch as _dispatch

try:  # torch >= 2.1
    from torch.compiler import is_compiling
except ImportError:  # torch 2.0
    from torch._dynamo import is_compiling

disable_modes = getattr(_dispatch, "_disable_current_modes", contextlib.nullcontext)
"""Context in which no TorchDispatchMode is active (a no-op where torch cannot do that)."""


def optimized_module_class():
    """The class that `torch.compile` wraps a module in; a class nothing is one of if unknown.

    Only looked up where dynamo has been imported by somebody else: importing it takes seconds.
    """
    import sys

    frame = sys.modules.get("torch._dynamo.eval_frame")
    return getattr(frame, "OptimizedModule", _Nothing)


class _Nothing:
    pass


def version_of(tensor):
    """The tensor's version counter, or -1 where it has none (inference tensors)."""
    return -1 if tensor.is_inference() else tensor._version


def capturing(tensor):
    """Whether a CUDA graph is being captured on the tensor's device just now."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def has_plain_memory(tensor):
    """Whether the tensor's elements lie in addressable memory, as strides describe them."""
    return (
        tensor.layout is torch.strided
        and not tensor.is_quantized
        and not tensor.is_meta
        and not getattr(tensor, "is_nested", False)
        and not _is_wrapper(tensor)
    )


def _is_wrapper(tensor):
    """A tensor subclass without memory of its own (DTensor, FakeTensor, functional tensors)."""
    if type(tensor) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer if _BUFFER else None):
        return False
    if torch._is_functional_tensor(tensor):
        return True
    return hasattr(tensor, "__tensor_flatten__") or type(tensor).__name__ == "FakeTensor"


_BUFFER = hasattr(torch.nn, "Buffer")
