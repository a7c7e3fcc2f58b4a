"""What is known of ATen ops from their schemas: arguments, what they write to, what is noise."""

from __future__ import annotations

import functools
from typing import Any, Iterable, Mapping, Sequence

import torch

_UNINITIALISED = frozenset(
    "aten." + name
    for name in (
        "empty", "empty_like", "empty_strided", "empty_permuted", "empty_quantized", "new_empty",
        "new_empty_strided", "resize_", "resize_as_", "_resize_output_",
    )
)  # fmt: skip

_NESTED = 1 << 16  # slots of the tensors in a list that is one of several results

_UNDECLARED = {
    # written to in training, though the schemas do not say so
    "aten.native_batch_norm": ("running_mean", "running_var"),
    "aten.cudnn_batch_norm": ("running_mean", "running_var"),
    "aten.miopen_batch_norm": ("running_mean", "running_var"),
}

_NOISE = {
    # random-generator states that are only written where dropout is on, and unused debug masks
    "aten._scaled_dot_product_flash_attention": frozenset((6, 7, 8)),
    "aten._scaled_dot_product_efficient_attention": frozenset((2, 3)),
    "aten._scaled_dot_product_cudnn_attention": frozenset((6, 7, 8)),
    "aten._scaled_dot_product_fused_attention_overrideable": frozenset((6, 7, 8)),
    "aten._flash_attention_forward": frozenset((2, 3, 4)),
    "aten._efficient_attention_forward": frozenset((2, 3)),
    "aten._cudnn_rnn": frozenset((3, 4)),
    "aten.miopen_rnn": frozenset((3, 4)),
}


class Op:
    """One overload: its name, argument names, and which arguments it writes to."""

    __slots__ = ("arguments", "func", "may_draw", "name", "noise", "uninitialised", "written")

    def __init__(self, func: Any) -> None:
        self.func = func
        self.name = str(func)
        base = self.name.rpartition(".")[0]
        arguments = func._schema.arguments
        self.arguments = [argument.name for argument in arguments]
        also = _UNDECLARED.get(base, ())
        self.written = frozenset(a.name for a in arguments if _writes(a) or a.name in also)
        self.uninitialised = base in _UNINITIALISED
        self.noise = _NOISE.get(base, frozenset())
        tag = getattr(torch.Tag, "nondeterministic_seeded", None)
        self.may_draw = tag in func.tags or any(
            str(argument.type).endswith("Generator]") for argument in arguments
        )

    def draws(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call takes numbers from a random generator.

        Attention and recurrent ops are made for dropout, and take none where it is 0.
        """
        if not self.may_draw:
            return False
        given = dict(zip(self.arguments, args), **kwargs)
        defaults = {a.name: a.default_value for a in self.func._schema.arguments}
        for name in ("dropout_p", "dropout"):
            if name in defaults:
                return bool(given.get(name, defaults[name]) != 0)
        return True


def _writes(argument: Any) -> bool:
    return bool(argument.alias_info is not None and argument.alias_info.is_write)


def _state(
    op: Op, args: Sequence[Any], kwargs: Mapping[str, Any], inputs: Sequence[tuple[str, Any]]
) -> torch.Tensor | None:
    """The state of the generator that a call draws from: uint8[n]; None where none is read.

    A device that captures a graph gives none.
    """
    if not op.may_draw or not op.draws(args, kwargs):
        return None
    given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Generator)]
    device = torch.device(inputs[0][1].device if inputs else kwargs.get("device") or "cpu")
    try:
        if given:
            return given[0].get_state()
        if device.type == "cpu":
            return torch.default_generator.get_state()
        return torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    except RuntimeError:
        return None


class Call:
    """One call's tensors: ``inputs`` [(name, tensor)] and ``written`` tensors; its signature.

    ``generator`` is the state of the random generator that it draws from, or None.

    The ``signature`` is the call as text: tensors as ``float32[32,77]{77,1}``, as they lay before
    the op ran, and plain values as they are.
    """

    __slots__ = ("generator", "inputs", "op", "signature", "written")

    def __init__(self, op: Op, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.op = op
        self.inputs: list[tuple[str, torch.Tensor]] = []
        self.written: list[torch.Tensor] = []
        take = self._take
        parts = [take(name, value, name in op.written) for name, value in zip(op.arguments, args)]
        if kwargs:
            parts += [
                "%s=%s" % (name, take(name, value, name in op.written))
                for name, value in kwargs.items()
            ]
        self.signature = "%s(%s)" % (op.name, ", ".join(parts))
        self.generator = _state(op, args, kwargs, self.inputs)

    def _take(self, name: str, value: object, written: bool) -> str:
        if isinstance(value, torch.Tensor):
            self.inputs.append((name, value))
            if written:
                self.written.append(value)
            return layout_of(value)
        if isinstance(value, (list, tuple)):
            parts = [
                self._take("%s[%d]" % (name, i), item, written) for i, item in enumerate(value)
            ]
            return "[%s]" % ", ".join(parts)
        if isinstance(value, torch.Generator):  # its own text holds an address
            return "Generator(%s)" % value.device
        return repr(value)


def layout_of(tensor: torch.Tensor) -> str:
    """A tensor's dtype, shape and strides as text: ``float32[32,77]{77,1}``.

    In place of strides stands what else the layout is; a nested tensor has no one shape.
    """
    if tensor.is_nested:
        return "%s{nested}" % _dense(tensor.dtype, (tensor.size(0),))
    if tensor.layout is not torch.strided:
        return "%s{%s}" % (_dense(tensor.dtype, tensor.shape), tensor.layout)
    return _strided(tensor.dtype, tensor.shape, tensor.stride())


@functools.lru_cache(maxsize=8192)
def _strided(dtype: torch.dtype, shape: tuple[int, ...], stride: tuple[int, ...]) -> str:
    return "%s{%s}" % (_dense(dtype, shape), ",".join(map(str, stride)))


def _dense(dtype: torch.dtype, shape: Iterable[int]) -> str:
    return "%s[%s]" % (str(dtype).rpartition(".")[2], ",".join(map(str, shape)))


def returned(value: object) -> tuple[list[tuple[int, torch.Tensor]], list[str]]:
    """An op's result: its tensors as [(slot, tensor)], and the text of anything else."""
    if isinstance(value, torch.Tensor):
        return [(0, value)], []
    tensors: list[tuple[int, torch.Tensor]] = []
    plain: list[str] = []
    for i, item in enumerate(value if isinstance(value, (tuple, list)) else (value,)):
        if isinstance(item, torch.Tensor):
            tensors.append((i, item))
        elif isinstance(item, (list, tuple)):
            inner = [part for part in item if isinstance(part, torch.Tensor)]
            tensors += [(i * _NESTED + j, part) for j, part in enumerate(inner)]
        elif item is not None:
            plain.append(repr(item))
    return tensors, plain


def written_only(
    results: Sequence[tuple[int, torch.Tensor]], written: Sequence[torch.Tensor]
) -> list[tuple[int, torch.Tensor]]:
    """Tensors that an op wrote to and did not return, in slots after those that it returned."""
    if not written:
        return []
    given = {id(tensor) for _, tensor in results}
    last = max((slot for slot, _ in results), default=-1)
    return list(enumerate((tensor for tensor in written if id(tensor) not in given), last + 1))
