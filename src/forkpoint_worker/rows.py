"""From contents and events to rows of the index.

A row is made as soon as its event has ended; only digests, which may still be on a device, are
put in later, by `Rows.flush`. What waits is mostly tuples of numbers: many thousand objects
that lead to others would make Python's garbage collector run in the midst of a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple, Union

import torch

from . import schema
from .digest import combine, dtype_name, of_text
from .index import Index
from .known import Content, Key, Layout

if TYPE_CHECKING:
    from .values import Flat

Entry = Tuple[int, str, Optional[Content]]  # slot, name, content
Contents = Sequence[Optional[Content]]

_MAX_LAYOUTS = 8192  # that are remembered: lengths that change with every step must not pile up


class Event:
    """One event about to be written."""

    __slots__ = (
        "call", "computed", "given", "inputs", "inside", "kind", "module", "op", "outputs", "plain",
        "sign", "taken",
    )  # fmt: skip

    def __init__(self, kind: int, module: str, op: str = "", inside: int = 1) -> None:
        self.kind = kind
        self.module = module
        self.op = op
        self.inside = inside
        self.call = 0
        self.sign = ""
        self.inputs: list[Entry] = []
        self.outputs: list[Entry] = []
        self.plain = ""  # text of plain values that are part of the digest
        self.computed: list[Content | None] = []  # of an op: its outputs that are no views
        self.taken: Flat | None = None  # what it took and gave that is no tensor, to be written
        self.given: Flat | None = None


class Rows:
    """The rows of one recording that wait for digests."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._add_value = index.adder("value")
        self._add_plain = index.adder("plain")
        self._add_unread = index.adder("unread")
        self._layouts: dict[tuple[object, ...], Layout] = {}
        self._contents: list[Content] = []
        self._heads: list[tuple[int, ...]] = []  # of events: their rows without the digest
        self._made_of: List[Union[Content, Tuple[Contents, str]]] = []  # what theirs come from

    @property
    def queued(self) -> int:
        """How many events wait."""
        return len(self._heads)

    def layout(self, tensor: torch.Tensor, key: Key) -> Layout:
        """The layout of a tensor whose `known.key_of` is ``key``."""
        _, dtype, shape, stride, _, _ = key
        form = (dtype, shape, stride, tensor.device)
        found = self._layouts.get(form)
        if found is None:
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            texts = (dtype_name(dtype), _numbers(shape), _numbers(stride), str(tensor.device))
            kind, size, steps, device = (self._index.names[text] for text in texts)
            found = Layout(texts[0], tuple(shape), (kind, size, steps, device))
            self._layouts[form] = found
        return found

    def content(self, content: Content) -> None:
        """Queue a content."""
        self._contents.append(content)

    def event(self, event: Event, step: int) -> int:
        """Queue an event of a step; its number is its place in the order of ends."""
        names, add = self._index.names, self._add_value
        number = next(self._index.events)
        for slot, text, content in event.inputs:
            if content is not None:
                add((number, schema.ROLE_IN, slot, names[text], content.id))
        for slot, text, content in event.outputs:
            if content is not None:
                add((number, schema.ROLE_OUT, slot, names[text], content.id))
        if event.taken is not None:
            self._others(number, schema.ROLE_IN, event.taken)
        if event.given is not None:
            self._others(number, schema.ROLE_OUT, event.given)
        op, sign = event.op, event.sign
        self._heads.append((
            number, step, event.inside, event.kind, names[event.module],
            names[op] if op else 0, event.call, names[sign] if sign else 0,
        ))  # fmt: skip
        made, plain = _made(event), event.plain
        # a single digest stands for itself (`combine`)
        alone = made[0] if len(made) == 1 and not plain else None
        self._made_of.append(alone or (made, plain))
        return number

    def _others(self, number: int, role: int, flat: Flat) -> None:
        """The rows of what an event took or gave that are no tensors."""
        names, add = self._index.names, self._add_plain
        if flat.tensors or flat.plain or flat.unread or flat.structure:
            structure = flat.structure or "Tensor"
            add((number, role, schema.STRUCTURE, names["structure"], names[structure]))
        for slot, (name, text) in enumerate(flat.plain):
            add((number, role, slot, names[name], names[text]))
        for slot, (name, why) in enumerate(flat.unread):
            self._add_unread((number, role, slot, names[name], names[why]))

    def flush(self) -> None:
        """Queue what waits for the index's next commit; digests must have been fetched."""
        add = self._index.adder("tensor")
        for content in self._contents:
            base = None if content.base is None else content.base.id
            add((content.id, *content.layout.columns, content.source, base, content.digest))
        add = self._index.adder("event")
        for head, made_of in zip(self._heads, self._made_of):
            digest = digest_of(*made_of) if isinstance(made_of, tuple) else made_of.digest
            add((*head, digest))
        self._contents, self._heads, self._made_of = [], [], []


def digest_of(contents: Contents, plain: str) -> int | None:
    """One digest for fetched contents and the text of plain values; None for nothing hashed."""
    found = [content.digest for content in contents if content is not None]
    digests = [digest for digest in found if digest is not None]
    if plain:
        digests.append(of_text(plain))
    return combine(digests) if digests else None


def _made(event: Event) -> Contents:
    """The contents that an event's digest is made of."""
    if event.kind == schema.KIND_OP:
        return event.computed
    given = event.kind in (schema.KIND_INPUT, schema.KIND_WEIGHTS)
    return [content for _, _, content in (event.inputs if given else event.outputs)]


def _numbers(values: Sequence[int]) -> str:
    return ",".join(map(str, values))
