"""What differs between torch releases, found by looking, never by version number."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Mapping, Sequence

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


class Unseen:
    """From `begin` to `end` no mode, and no tensor class of the script's, sees this thread's ops.

    One for each thread, or under a lock: it is used twice for every op recorded.
    """

    def __init__(self) -> None:
        self._functions: Any = None
        self._dispatch: object = None

    def begin(self) -> None:
        """Hide."""
        self._functions = torch._C.DisableTorchFunction()
        self._functions.__enter__()
        if current_mode() is not None:
            held = _Unseen()
            self._dispatch = held if _AT_ONCE else (held.__enter__(), held)

    def end(self) -> None:
        """Come out again; `begin` must have been called."""
        self._dispatch = None
        self._functions.__exit__(None, None, None)


class Mode(_dispatch.TorchDispatchMode):  # type: ignore[misc] # torch has no types for us to see
    """A dispatch mode that does not make torch import its compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by newer releases, which would import dynamo (seconds, 100 MB) at the first op."""
        return "torch._dynamo" in sys.modules


_include = torch._C._dispatch_tls_local_include_set
_exclude = torch._C._dispatch_tls_local_exclude_set


def _keys_at_entry() -> tuple[Any, Any]:
    """The keys that this thread put in and left out when the op that is handled was called."""
    held = torch._C._RestorePythonTLSSnapshot()
    if _AT_ONCE:  # until the object is gone
        return _include(), _exclude()
    with held:
        return _include(), _exclude()


class _Opened:
    """In torch 2.0, which cannot set all keys at once: open what has been shut off since."""

    _keys = tuple(torch._C.DispatchKey.__members__.values())

    def __init__(self, _include: Any, exclude: Any) -> None:
        now = _exclude() - exclude
        self._shut = [key for key in self._keys if now.has(key)]

    def __enter__(self) -> None:
        for key in self._shut:
            torch._C._dispatch_tls_set_dispatch_key_excluded(key, False)

    def __exit__(self, *_: object) -> None:
        for key in self._shut:
            torch._C._dispatch_tls_set_dispatch_key_excluded(key, True)


_Forced = getattr(torch._C, "_ForceDispatchKeyGuard", _Opened)


def run_op(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run an op that a dispatch mode was given as torch would have run it without the mode.

    In inference mode an op that is made of others reaches the mode whole, and in the handler all
    that would have worked on its parts is shut off: autocast is, so that `einsum` returns
    float32, and what tells a matrix product to fold its dimensions. There it gets what this
    thread had when the op was called.
    """
    if not (torch.is_inference_mode_enabled() and _is_made_of_others(func)):
        return func(*args, **kwargs)
    if current_mode() is not None or _within_a_mode():
        return func(*args, **kwargs)  # also without us it would have run in a handler
    include, exclude = _keys_at_entry()
    include = include - (include - _include())  # without those by which modes are found
    with _Forced(include, exclude):
        return func(*args, **kwargs)


def _is_made_of_others(func: Any) -> bool:
    found = _composite.get(func)
    if found is None:
        has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
        found = _composite[func] = bool(has_kernel(func.name(), "CompositeImplicitAutograd"))
    return found


_composite: dict[object, bool] = {}


def _within_a_mode() -> bool:
    """Whether a handler of the script's, above ours, called the op."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "__torch_dispatch__" and not _is_ours(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def _is_ours(path: str) -> bool:
    return path.startswith(_HERE)


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

_length, _at = torch._C._len_torch_dispatch_stack, torch._C._get_dispatch_stack_at
_TRACING_MODES = frozenset(("FakeTensorMode", "FunctionalTensorMode", "ProxyTorchDispatchMode"))
TRACED = "call under tracing"
"""The kind of `uncovered` rows of calls that make a graph, or shapes, in place of numbers."""

_NO_NUMBERS = frozenset(("FakeTensor", "FunctionalTensor", "Proxy"))


def tracing() -> bool:
    """Whether what runs now is traced, or runs on fake tensors."""
    if torch._C._get_tracing_state() is not None:
        return True
    modes = (_at(place) for place in range(_length()))
    return any(not _TRACING_MODES.isdisjoint(_names(type(mode))) for mode in modes)


def no_numbers(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Why a call with these arguments makes no numbers that could be recorded, or nothing."""
    if tracing():
        return TRACED
    if torch.cuda.is_initialized() and _is_capturing():
        return "CUDA graph"
    with torch._C.DisableTorchFunction():  # a mode of the script's is not to see a question
        found = (_why_empty(value, 0) for value in (*args, *kwargs.values()))
        return next(filter(None, found), "")


def _why_empty(value: object, depth: int) -> str:
    if isinstance(value, torch.Tensor) or type(value).__name__ == "Proxy":
        if not _NO_NUMBERS.isdisjoint(_names(type(value))):
            return TRACED
        return "call on the meta device" if getattr(value, "is_meta", False) else ""
    if depth < 3 and type(value) in (tuple, list, dict):
        items: Any = value.values() if isinstance(value, dict) else value
        return next(filter(None, (_why_empty(item, depth + 1) for item in items)), "")
    return ""


def _names(kind: type) -> set[str]:
    return {one.__name__ for one in kind.__mro__}


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
    own = module.__dict__.get("_compiled_call_impl")  # torch >= 2.2
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
