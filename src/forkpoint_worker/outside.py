"""Numbers made outside of modules: torch functions that a script calls between its steps.

A `TorchFunctionMode` sees them. It acts above autograd, so it changes no dispatch, and it is on
the stack of a thread only between steps: inside of them, in code that is traced or compiled, and
in a run that is left alone nothing is there. Nothing is read of what it sees but types.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Sequence

import torch
import torch.overrides as _overrides

from ._compat import is_compiling

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from .guard import Guard
    from .uncovered import Uncovered

KIND = "outside modules"
"""The kind of `uncovered` rows; the detail names function and place."""

_MOST = 40  # different places that are named
_ELSEWHERE = "more of them, at other places"

_PASSED_ON = frozenset(
    (
        "__copy__", "__deepcopy__", "__format__", "__get__", "__getitem__", "__reduce_ex__",
        "__repr__", "__set__", "__setitem__", "alias", "argwhere", "as_strided", "as_strided_",
        "as_subclass", "atleast_1d", "atleast_2d", "atleast_3d", "bfloat16", "broadcast_tensors",
        "broadcast_to", "cat", "chunk", "clone", "column_stack", "concat", "concatenate",
        "contiguous", "copy_", "cpu", "cuda", "data", "detach", "detach_", "diag", "diagonal",
        "double", "dsplit", "dstack", "empty_like", "expand", "expand_as", "fill_", "flatten",
        "flip", "fliplr", "flipud", "float", "full_like", "gather", "half", "hsplit", "hstack",
        "index_select", "is_same_size", "masked_select", "meshgrid", "moveaxis", "movedim",
        "narrow", "narrow_copy", "normal_", "ones_like", "pad", "permute", "pin_memory",
        "positive", "rand_like", "randn_like", "random_", "ravel", "register_hook", "repeat",
        "repeat_interleave", "requires_grad_", "reshape", "reshape_as", "resize_", "resolve_conj",
        "resolve_neg", "retain_grad", "roll", "rot90", "row_stack", "select", "set_",
        "share_memory_", "split", "split_with_sizes", "squeeze", "squeeze_", "stack", "swapaxes",
        "swapdims", "t", "t_", "take", "take_along_dim", "tensor_split", "tile", "to", "to_dense",
        "transpose", "transpose_", "tril", "triu", "type", "type_as", "unbind", "unflatten",
        "unfold", "uniform_", "unsafe_chunk", "unsafe_split", "unsqueeze", "unsqueeze_", "view",
        "view_as", "vsplit", "vstack", "where", "zero_", "zeros_like",
    )
)  # fmt: skip
"""Names of functions that hand numbers on, make them of nothing, or put them elsewhere."""

_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_OPTIM = os.path.join(_TORCH, "optim") + os.sep
_INIT = os.path.join(_TORCH, "nn", "init.py")
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

_push = torch._C._push_on_torch_function_stack
_pop = torch._C._pop_torch_function_stack
_length = torch._C._len_torch_function_stack


class _State(threading.local):
    known = False  # whether this thread has had the mode


class Outside:
    """Notes what is computed between steps; one for a process."""

    def __init__(self, guard: Guard, uncovered: Uncovered) -> None:
        self._guard = guard
        self._uncovered = uncovered
        self._mode = _Mode(self)
        self._state = _State()
        self._details: dict[tuple[str, CodeType, int], str] = {}
        self._original = _overrides.has_torch_function

    def install(self) -> None:
        """Begin to look, in this thread."""
        self._state.known = True
        self.resume()
        self._mark()

    def uninstall(self) -> None:
        """Stop."""
        self.suspend()
        self._unmark()

    def suspend(self) -> bool:
        """Take the mode off this thread's stack; whether to `resume` afterwards.

        A thread that is met for the first time gets it afterwards.
        """
        if not self._state.known:
            return not self._guard.off
        above: list[Any] = []
        found = False
        while not found and _length():
            mode = _pop()
            found = mode is self._mode
            if not found:
                above.append(mode)
        _push_all(reversed(above))
        return found

    def resume(self) -> None:
        """Put it back, below the modes of the script, which are taken off as they were put on."""
        self._state.known = True
        others = [_pop() for _ in range(_length())]
        if others and _keeps_to_the_bottom(others[-1]):
            _push(others.pop())
        _push(self._mode)
        _push_all(reversed(others))

    def plain(self) -> Callable[[], None]:
        """Let nobody find anything of ours for a while; call what is returned to end that."""
        again = self.suspend()
        self._unmark()

        def end() -> None:
            self._mark()
            if again:
                self.resume()

        return end

    def _mark(self) -> None:
        """Torch's own modules ask whether a mode is on, and take a slower path then."""
        original = self._original

        def has_torch_function(relevant_args: Any) -> bool:
            if not original(relevant_args):
                return False
            again = self._state.known and self.suspend()
            try:
                return bool(original(relevant_args))
            finally:
                if again:
                    self.resume()

        _overrides.has_torch_function = has_torch_function

    def _unmark(self) -> None:
        _overrides.has_torch_function = self._original

    # noting

    def look(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """A torch function was called: note it if it computed something."""
        name = getattr(func, "__name__", "")
        thread = self._guard.thread
        if name in _PASSED_ON or self._guard.off or thread.busy or thread.watched:
            return
        if getattr(func, "__module__", "") == "torch.nn.init":
            return
        if not (_floating(result) or name == "backward"):
            return
        if not (any(map(_floating, args)) or any(map(_floating, kwargs.values()))):
            return
        detail = self._detail(name, sys._getframe(2))
        if detail:
            self._uncovered.note(KIND, detail)

    def _detail(self, name: str, frame: FrameType | None) -> str:
        """``linear at script.py:7``; each place is looked at once. Nothing for new weights."""
        passed: list[CodeType] = []
        while frame is not None and frame.f_code.co_filename.startswith((_TORCH, _HERE)):
            passed.append(frame.f_code)
            frame = frame.f_back
        if frame is None:
            return name
        key = name, frame.f_code, frame.f_lineno
        found = self._details.get(key)
        if found is None:
            found = _ELSEWHERE
            if len(self._details) < _MOST:
                found = self._details[key] = _described(name, passed, frame)
        return found


class _Mode(_overrides.TorchFunctionMode):  # type: ignore[misc] # torch has no types for us to see
    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self._outside = outside

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not is_compiling():
            self._outside.look(func, args, kwargs, result)
        return result


def _floating(value: object) -> bool:
    """Whether it is a tensor of floating numbers, or a list of such."""
    if isinstance(value, torch.Tensor):
        return bool(value.dtype.is_floating_point or value.dtype.is_complex)
    if isinstance(value, (tuple, list)):
        return any(isinstance(item, torch.Tensor) and _floating(item) for item in value)
    return False


def _push_all(modes: Iterator[Any]) -> None:
    for mode in modes:
        _push(mode)


def _keeps_to_the_bottom(mode: object) -> bool:
    """Whether this is the context of `torch.set_default_device` in the newer releases.

    They put it at the bottom of the stack and insist on finding it there. Older ones put it on
    top and take off what is there, as ``with torch.device(...)`` does in all of them.
    """
    default = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return mode is default and "__enter__" in vars(type(mode))


def _described(name: str, passed: Sequence[CodeType], frame: FrameType) -> str:
    files = {code.co_filename for code in passed}
    if _INIT in files:
        return ""  # weights are read in the step that has them
    if any(file.startswith(_OPTIM) for file in files):
        name = "optimizer step"
    method, place = _method(passed, frame)
    inside = " in %s, called directly," % method if method else ""
    return "%s%s at %s" % (name, inside, place)


def _method(passed: Sequence[CodeType], frame: FrameType) -> tuple[str, str]:
    """The outermost method of a module on the stack, if there is one, and who called it.

    Without one, the place of the frame itself.
    """
    place = _place(frame)
    found = ""
    for code in passed:
        found = _owner(code) or found
    caller: FrameType | None = frame
    while caller is not None:
        owner = _owner(caller.f_code)
        if owner:
            found = owner
            above = caller.f_back
            place = _place(above) if above is not None else _place(caller)
        caller = caller.f_back
    return found, place


def _place(frame: FrameType) -> str:
    return "%s:%d" % (os.path.basename(frame.f_code.co_filename), frame.f_lineno)


def _owner(code: CodeType) -> str:
    """``Net.encode`` for the code of a module class's method; no instance is asked for it.

    What a frame's variables are is not looked at: a look keeps them alive.
    """
    name = code.co_name
    if name.startswith("__"):  # of an initialiser, and of `__call__`, which is no direct call
        return ""
    for kind in _subclasses(torch.nn.Module):
        method: Any = vars(kind).get(name)
        while hasattr(method, "__wrapped__"):
            method = method.__wrapped__
        if getattr(method, "__code__", None) is code:
            return "%s.%s" % (kind.__name__, name)
    return ""


def _subclasses(kind: type) -> Iterator[type]:
    yield kind
    below: list[type] = type.__subclasses__(kind)
    for one in below:
        yield from _subclasses(one)
