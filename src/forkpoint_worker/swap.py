"""Putting the other side's results in place of a watched function's own.

A result is rebuilt after the pattern of the function's own: the same containers, with the
reference's tensors and plain values in their places. What was rebuilt is hashed like any other
result, and handed on only where that gives the digest that the reference recorded: a swapped
result has the reference's bits, or it is not swapped and counted as uncovered
(`schema.NOT_SWAPPED`).
"""

from __future__ import annotations

import ast
import collections.abc
import copy
import dataclasses
from typing import Any, Callable, Iterable, Iterator, Sequence, TypeVar

import torch

from . import schema
from ._compat import has_plain_memory
from .digest import dtype_name
from .reference import Reference, Returned, ReturnedTensor, numbers
from .rows import Entry, Event, digest_of
from .values import MAX_DEPTH, MAX_TEXT, PLAIN, Flat, from_numpy, parts, text_of
from .writer import Writer

T = TypeVar("T")

_NOT_LITERAL = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Unlike(Exception):
    """Why the reference's result cannot take the place of the function's own."""


class Swap:
    """Replaces the results of some watched functions by those that the reference kept."""

    def __init__(self, functions: Iterable[str], reference: Reference, writer: Writer) -> None:
        self._functions = frozenset(functions)
        self._reference = reference
        self._writer = writer

    def result(self, event: Event, own: object, flat: Flat, flatten: Callable[[Any], Flat]) -> Any:
        """The reference's result of the same call, or the function's own where there is none.

        ``flat`` is what ``flatten`` makes of ``own``, and holds what the event recorded.
        """
        if event.op not in self._functions:
            return own
        try:
            return self._rebuilt(event, own, flat, flatten)
        except Unlike as problem:
            self.missed(event, str(problem))
            return own

    def missed(self, event: Event, why: str) -> None:
        """Count a call whose result was not swapped, where it should have been."""
        if event.op in self._functions:
            self._writer.uncovered.note(schema.NOT_SWAPPED, "%s: %s" % (event.op, why))

    def _rebuilt(
        self, event: Event, own: object, flat: Flat, flatten: Callable[[Any], Flat]
    ) -> Any:
        other = self._reference.returned(event.op, event.call)
        if other is None:
            raise Unlike("the reference recorded no such call")
        if other.digest is None:
            raise Unlike("the reference's call returned nothing that was hashed")
        _require_alike(event.outputs, other.tensors)
        self._writer.hasher.fetch()
        made = _Rebuilding(event.outputs, other, _texts(flat, other)).of("result", own)
        if self._digest(flatten(made)) != other.digest:
            raise Unlike("what was rebuilt has not the digest that the reference recorded")
        return made

    def _digest(self, flat: Flat) -> int | None:
        made = [self._writer.fresh(tensor, schema.SOURCE_OUTSIDE) for _, tensor in flat.tensors]
        self._writer.hasher.fetch()
        return digest_of(made, flat.exact)


def _require_alike(own: Sequence[Entry], other: Sequence[ReturnedTensor]) -> None:
    if any(content is None for _, _, content in own):
        raise Unlike("it returns a tensor that could not be hashed")
    names = [name for _, name, _ in own]
    if names != [tensor.name for tensor in other]:
        raise Unlike("the reference's result holds other tensors, or more or fewer of them")


def _texts(own: Flat, other: Returned) -> Iterator[str]:
    """The reference's plain values as text, in the order of one's own."""
    if [name for name, _ in own.plain] != [name for name, _ in other.plain]:
        raise Unlike("the reference's result holds other plain values, or more or fewer of them")
    return iter([text for _, text in other.plain])


class _Rebuilding:
    """One result under way: tensors and texts are taken in the order in which `Flat` met them."""

    def __init__(self, own: Sequence[Entry], other: Returned, texts: Iterator[str]) -> None:
        self._tensors = zip(own, other.tensors)
        self._texts = texts

    def of(self, name: str, value: Any, depth: int = 0) -> Any:
        """The value with the reference's content; the value itself where that is the same."""
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, PLAIN):
            return self._plain(value)
        if type(value).__module__.partition(".")[0] == "numpy":
            return self._numpy(value)
        if isinstance(value, (set, frozenset)):
            items = [self._plain(item) for item in sorted(value, key=repr)]
            return value if set(items) == value else type(value)(items)
        held = parts(name, value) if depth <= MAX_DEPTH else None
        if held is None:
            raise Unlike("it returns a %s, which cannot be rebuilt" % type(value).__name__)
        made = [self.of(part, item, depth + 1) for part, item in held]
        if all(new is item for new, (_, item) in zip(made, held)):
            return value
        return _assembled(value, made)

    def _tensor(self, own: torch.Tensor) -> torch.Tensor:
        (_, _, content), other = _next(self._tensors)
        if content is not None and content.digest == other.digest:
            return own
        if own.requires_grad or type(own) is not torch.Tensor or not has_plain_memory(own):
            raise Unlike("it returns a tensor with gradients, or one of another class")
        if other.kept is None:
            raise Unlike("the reference did not keep its bytes: give it more --max-storage")
        if dtype_name(own.dtype) != other.dtype:
            raise Unlike("it returns %s, the reference %s" % (dtype_name(own.dtype), other.dtype))
        source = other.kept.tensor()
        made = torch.empty_strided(
            source.shape, _strides(source, other), dtype=own.dtype, device=own.device
        )
        return made.copy_(source)

    def _plain(self, own: Any) -> Any:
        if not isinstance(own, PLAIN):
            raise Unlike("it returns a set of values that are not plain")
        mine, text = text_of(own), _next(self._texts)
        if len(mine) > MAX_TEXT or len(text) > MAX_TEXT:
            raise Unlike("it returns a plain value of more than %d characters" % MAX_TEXT)
        return own if mine == text else _like(own, _read(text))

    def _numpy(self, own: Any) -> Any:
        read = from_numpy(own)
        if isinstance(read, torch.Tensor) and type(own).__name__ == "ndarray":
            made = self._tensor(read)
            return own if made is read else made.numpy()
        if isinstance(read, PLAIN) and type(own).__name__ != "ndarray":
            value = self._plain(read)
            return own if value is read else type(own)(value)
        raise Unlike("it returns numpy's %s, which cannot be rebuilt" % type(own).__name__)


def _next(places: Iterator[T]) -> T:
    for place in places:
        return place
    raise Unlike("it returns more values than are recorded")


def _strides(source: torch.Tensor, other: ReturnedTensor) -> tuple[int, ...]:
    """The reference's own layout, where it is dense; else the plain one."""
    like = torch.empty_strided(source.shape, numbers(other.stride), device="meta")
    return tuple(torch.empty_like(like).stride())


def _read(text: str) -> Any:
    if text in _NOT_LITERAL:
        return _NOT_LITERAL[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise Unlike("its plain value %s cannot be read back" % text[:60]) from None


def _like(own: Any, read: Any) -> Any:
    """The value that was read, of one's own class where that is a kind of str, int and so on.

    Digests count classes, and a text does not tell them: `torch.__version__` is a kind of str.
    """
    if type(own) in PLAIN or not isinstance(own, type(read)):
        return read
    try:
        return type(own)(read)
    except Exception as error:  # it runs code of a class of the script's
        raise Unlike("it returns a %s (%s)" % (type(own).__name__, error)) from error


def _assembled(value: Any, made: Sequence[Any]) -> Any:
    """A container like ``value`` with other things in it, in the order of `parts`."""
    try:
        if isinstance(value, collections.abc.MutableMapping):
            new = copy.copy(value)
            for key, item in zip(list(value), made):
                new[key] = item
            return new
        if isinstance(value, (tuple, list)):
            return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
        new = copy.copy(value)
        for field, item in zip(dataclasses.fields(value), made):
            object.__setattr__(new, field.name, item)
    except (TypeError, ValueError, AttributeError) as error:
        raise Unlike("it returns a %s (%s)" % (type(value).__name__, error)) from error
    return new
