"""What differs between torch releases, found by looking, never by version number."""

from __future__ import annotations

import sys
from typing import Any, Callable

import torch
import torch.utils._python_dispatch as _dispatch

try:  # torch >= 2.1
    from torch.compiler import is_compiling as _is_compiling
except ImportError:  # torch 2.0
    from torch._dynamo import is_compiling as _is_compiling

is_compiling: Callable[[], bool] = _is_compiling
"""Whether torch.compile is tracing the code that asks."""

current_mode: Callable[[], object] = _dispatch._get_current_dispatch_mode
"""The innermost TorchDispatchMode that is active in this thread, or None."""


_Unseen = torch._C._DisableTorchDispatch
_AT_ONCE = not hasattr(_Unseen, "__enter__")  # torch 2.0: it begins when it is made


def unseen() -> object:
    """From here on no dispatch mode sees what this thread does, until the object is let go."""
    if current_mode() is None:
        return None
    held = _Unseen()
    return held if _AT_ONCE else (held.__enter__(), held)


class Mode(_dispatch.TorchDispatchMode):  # type: ignore[misc] # torch has no types for us to see
    """A dispatch mode that does not make torch import its compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by newer releases, which would import dynamo (seconds, 100 MB) at the first op."""
        return "torch._dynamo" in sys.modules


class _Nothing:
    pass


def _optimized_module_class() -> type:
    """The class that `torch.compile` wraps a module in; a class nothing is one of if unknown.

    Only looked up where dynamo has been imported by somebody else: importing it takes seconds.
    """
    frame = sys.modules.get("torch._dynamo.eval_frame")
    found: type = getattr(frame, "OptimizedModule", _Nothing)
    return found


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether a call of the module runs a compiled graph (`torch.compile`, `Module.compile`)."""
    own = getattr(module, "_compiled_call_impl", None)  # torch >= 2.2
    kind = type(module)
    optimized = _optimized.get(kind)
    if optimized is None:
        # the answer stays right: an instance of the class cannot be there before the class is
        optimized = _optimized[kind] = issubclass(kind, _optimized_module_class())
    return own is not None or optimized


_optimized: dict[type, bool] = {}


def version_of(tensor: torch.Tensor) -> int:
    """The tensor's version counter, or -1 where it has none (inference tensors)."""
    return -1 if tensor.is_inference() else int(tensor._version)


def capturing(tensor: torch.Tensor) -> bool:
    """Whether a CUDA graph is being captured on the tensor's device just now."""
    return bool(tensor.is_cuda and _is_capturing())


_is_capturing: Callable[[], bool] = getattr(
    torch._C, "_cuda_isCurrentStreamCapturing", torch.cuda.is_current_stream_capturing
)


def has_plain_memory(tensor: torch.Tensor) -> bool:
    """Whether the tensor's elements lie in addressable memory, as strides describe them.

    The zeros that autograd never allocates have no address, nor has a storage that was freed.
    """
    if type(tensor) in _ORDINARY and _keys_of is not None:
        # what the keys of its dispatch say of one tensor they say of all
        keys = _keys_of(tensor).raw_repr()
        plain = _plain_keys.get(keys)
        if plain is None:
            plain = _plain_keys[keys] = _is_plain(tensor)
    else:
        plain = _is_plain(tensor)
    return plain and (tensor.data_ptr() != 0 or not tensor.numel())


# a number that stands for all keys: not in the oldest releases
_has_keys = hasattr(getattr(torch._C, "DispatchKeySet", None), "raw_repr")
_keys_of: Callable[[torch.Tensor], Any] | None = torch._C._dispatch_keys if _has_keys else None
_plain_keys: dict[int, bool] = {}


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        tensor.layout is torch.strided
        and not tensor.is_quantized
        and not tensor.is_meta
        and not getattr(tensor, "is_nested", False)
        and not _is_wrapper(tensor)
        and _can_have_address(tensor)
    )


# torch.nn.Buffer makes plain tensors, but is a class of its own where it exists
_ORDINARY = frozenset(
    (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.nn.Parameter))
)


def _is_wrapper(tensor: torch.Tensor) -> bool:
    """A tensor subclass without memory of its own (DTensor, FakeTensor, functional tensors)."""
    if type(tensor) in _ORDINARY:
        return False
    if torch._is_functional_tensor(tensor):
        return True
    return hasattr(tensor, "__tensor_flatten__") or type(tensor).__name__ == "FakeTensor"


def _can_have_address(tensor: torch.Tensor) -> bool:
    """False inside torch.func's transforms."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True
