"""What is known of ATen ops from their schemas: arguments, what they write to, what is noise."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence, Tuple, Union

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


Part = Union[str, Tuple[Any, ...]]  # a plain value's text, a tensor's layout, or a list of parts
Key = Tuple[str, Tuple[Part, ...], Tuple[Tuple[str, Part], ...]]


class Op:
    """One overload: its name, argument names, and which arguments it writes to."""

    __slots__ = (
        "arguments", "func", "name", "noise", "uninitialised", "written", "written_names",
    )  # fmt: skip

    def __init__(self, func: Any) -> None:
        self.func = func
        self.name = str(func)
        base = self.name.rpartition(".")[0]
        arguments = func._schema.arguments
        self.arguments = [argument.name for argument in arguments]
        also = _UNDECLARED.get(base, ())
        written = [i for i, a in enumerate(arguments) if _writes(a) or a.name in also]
        self.written = frozenset(written)
        self.written_names = frozenset(self.arguments[i] for i in written)
        self.uninitialised = base in _UNINITIALISED
        self.noise = _NOISE.get(base, frozenset())

    def draws(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call takes numbers from a random generator.

        Attention and recurrent ops are made for dropout, and take none where it is 0.
        """
        tag = getattr(torch.Tag, "nondeterministic_seeded", None)
        generator = any(str(a.type).endswith("Generator]") for a in self.func._schema.arguments)
        if tag not in self.func.tags and not generator:
            return False
        given = dict(zip(self.arguments, args), **kwargs)
        defaults = {a.name: a.default_value for a in self.func._schema.arguments}
        for name in ("dropout_p", "dropout"):
            if name in defaults:
                return bool(given.get(name, defaults[name]) != 0)
        return True


def _writes(argument: Any) -> bool:
    return bool(argument.alias_info is not None and argument.alias_info.is_write)


class Call:
    """One call's tensors: ``inputs`` [(name, tensor)], ``written`` tensors, its signature key."""

    __slots__ = ("inputs", "key", "written")

    def __init__(self, op: Op, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.inputs: list[tuple[str, torch.Tensor]] = []
        self.written: list[torch.Tensor] = []
        named = op.arguments
        positional = tuple(
            self._take(named[i], value, i in op.written) for i, value in enumerate(args)
        )
        keywords = tuple(
            (name, self._take(name, value, name in op.written_names))
            for name, value in kwargs.items()
        )
        self.key: Key = (op.name, positional, keywords)

    def _take(self, name: str, value: object, written: bool) -> Part:
        if isinstance(value, torch.Tensor):
            self.inputs.append((name, value))
            if written:
                self.written.append(value)
            return _layout(value)
        if isinstance(value, (list, tuple)):
            return tuple(
                self._take("%s[%d]" % (name, i), item, written) for i, item in enumerate(value)
            )
        # text, because 1, 1.0 and True are the same key to a dictionary, and -0.0 is 0.0
        return repr(value)


def _layout(tensor: torch.Tensor) -> Part:
    if tensor.layout is not torch.strided:
        return (tensor.dtype, tensor.shape, str(tensor.layout))
    return (tensor.dtype, tensor.shape, tensor.stride())


def signature(key: Key) -> str:
    """A signature's text: tensors as ``float32[32,77]{77,1}``, plain values as they are."""
    name, positional, keywords = key
    parts = [_text(part) for part in positional]
    parts += ["%s=%s" % (keyword, _text(part)) for keyword, part in keywords]
    return "%s(%s)" % (name, ", ".join(parts))


def _text(part: Part) -> str:
    if isinstance(part, str):
        return part
    if len(part) == 3 and isinstance(part[0], torch.dtype):
        dtype = str(part[0]).rpartition(".")[2]
        layout = part[2] if isinstance(part[2], str) else ",".join(map(str, part[2]))
        return "%s[%s]{%s}" % (dtype, ",".join(map(str, part[1])), layout)
    return "[%s]" % ", ".join(map(_text, part))


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
    results: Sequence[tuple[int, torch.Tensor]], written: Iterable[torch.Tensor]
) -> list[tuple[int, torch.Tensor]]:
    """Tensors that an op wrote to and did not return, in slots after those that it returned."""
    given = {id(tensor) for _, tensor in results}
    last = max((slot for slot, _ in results), default=-1)
    return list(enumerate((tensor for tensor in written if id(tensor) not in given), last + 1))
