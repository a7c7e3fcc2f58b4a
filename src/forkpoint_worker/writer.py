"""One recording's contents, events, tensors and metrics.

Everything of a step is gathered and written when the step ends, after one fetch of the digests
that lie on devices.
"""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

import torch

from . import schema
from ._compat import capturing, has_plain_memory
from .digest import dtype_name
from .hasher import Hasher, Raw
from .index import Index
from .known import Content, Known, key_of
from .reference import Kept, Place, Reference
from .rows import Entry, Event, Rows
from .shards import Shards
from .uncovered import Uncovered


class Writer:
    """One recording's index, tensors and digests."""

    def __init__(
        self,
        folder: str,
        max_storage: int,
        reference: Reference | None = None,
        reserve: int = 0,
    ) -> None:
        self.index = Index(folder + "/index.sqlite")
        self.shards = Shards(folder + "/tensors", max_storage)
        self.hasher = Hasher()
        self.known = Known()
        self.refused = 0  # tensors that the disk did not take
        self.uncovered = Uncovered()
        self.reference = reference
        self._reserve = reserve
        self._rows = Rows(self.index)

    # contents

    def content(self, tensor: torch.Tensor, source: int) -> Content | None:
        """The tensor's content, hashed unless it is known; None where it cannot be hashed."""
        found = self.known.find(tensor)
        if found is not None and found.raw is not None:
            return found
        if not self.readable(tensor):
            return None
        return self.fresh(tensor, source, base=found and found.base)

    def anew(self, tensor: torch.Tensor, source: int) -> Content | None:
        """As `content`, but hashed whatever is known."""
        return self.fresh(tensor, source) if self.readable(tensor) else None

    def reread(self, tensor: torch.Tensor) -> Content | None:
        """As `anew`, for a tensor whose source is known as long as it is remembered."""
        found = self.known.find(tensor)
        return self.anew(tensor, schema.SOURCE_OUTSIDE if found is None else found.source)

    def identify(self, tensor: torch.Tensor) -> Content | None:
        """As `content`, but a view of something known stays a view, without a digest."""
        found = self.known.find(tensor)
        if found is not None:
            return found
        if not self.readable(tensor):
            return None
        base = self.known.whole(tensor) if tensor.numel() else None
        if base is not None:
            return self.remember(tensor, schema.SOURCE_VIEW, None, base)
        return self.fresh(tensor, schema.SOURCE_OUTSIDE)

    def fresh(
        self,
        tensor: torch.Tensor,
        source: int,
        *,
        mutated: bool = False,
        base: Content | None = None,
    ) -> Content | None:
        """A new content, hashed now; ``base``: what it is a view of, if that is known."""
        try:
            raw = self.hasher.submit(tensor)
        except RuntimeError as error:  # no memory for a contiguous copy, an op missing there
            self.uncovered.note("tensor not hashed", "%s: %s" % (tensor.dtype, error))
            return None
        return self.remember(tensor, source, raw, base, mutated=mutated)

    def view(self, tensor: torch.Tensor, base: Content, owner: torch.Tensor) -> Content:
        """A view of ``owner``, whose content is ``base``.

        One that covers the same bytes in the same order has the same sum (`digest`), for free.
        """
        same = (
            tensor.data_ptr() == owner.data_ptr()
            and tensor.numel() * tensor.element_size() == owner.numel() * owner.element_size()
            and tensor.is_conj() == owner.is_conj()
            and tensor.is_neg() == owner.is_neg()
            and tensor.is_contiguous()
            and owner.is_contiguous()
        )
        return self.remember(tensor, schema.SOURCE_VIEW, base.raw if same else None, base)

    def remember(
        self,
        tensor: torch.Tensor,
        source: int,
        raw: Raw | None,
        base: Content | None,
        *,
        mutated: bool = False,
    ) -> Content:
        """A new content with or without a digest."""
        key = key_of(tensor)
        layout = self._rows.layout(tensor, key)
        content = Content(next(self.index.tensors), layout, source, raw, base)
        self.known.add(tensor, key, content, mutated=mutated)
        self._rows.content(content)
        return content

    def readable(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor has bytes to hash; what has none is noted as uncovered."""
        if not has_plain_memory(tensor):
            self.uncovered.note("tensor without plain memory", type_of(tensor))
            return False
        if capturing(tensor):
            self.uncovered.note("CUDA graph", "captured")
            return False
        return True

    # events

    @property
    def queued(self) -> int:
        """How many events wait for the next flush."""
        return self._rows.queued

    def add(self, event: Event, step: int) -> int:
        """Queue an event of a step; its number is its place in the order of ends."""
        return self._rows.event(event, step)

    def keep(self, content: Content | None, tensor: torch.Tensor, root: bool = False) -> None:
        """Store a tensor's bytes, once; what lies on a device is fetched now.

        Outputs of steps (``root``) may use the room that is held for them.
        """
        if content is None or content.raw is None or content.stored:
            return
        if tensor.device.type != "cpu":
            self.hasher.fetch()
        digest = content.digest
        assert digest is not None  # it has a sum
        place = self.shards.put(digest, tensor, 0 if root else self._reserve)
        if root:
            self._reserve = max(0, self._reserve - tensor.numel() * tensor.element_size())
        if place is not None:
            content.stored = True
            self.index.add("stored", (content.id, *place))

    def keep_all(
        self, entries: Iterable[Entry], tensors: Iterable[torch.Tensor], root: bool = False
    ) -> None:
        """`keep` the tensors of an event's values."""
        for (_, _, content), tensor in zip(entries, tensors):
            self.keep(content, tensor, root)

    def measure(
        self,
        number: int,
        event: Event,
        tensors: Sequence[torch.Tensor],
        kept: Mapping[Place, Kept],
    ) -> None:
        """Compare an event's outputs with what the reference kept of the same event."""
        assert self.reference is not None  # `kept` comes from it
        for (slot, name, content), tensor in zip(event.outputs, tensors):
            other = kept.get((event.kind, event.module, event.op, event.call, slot))
            if other is None or content is None:
                continue
            if tensor.device.type == "cpu" and content.digest == other.digest:
                continue  # equal bits: nothing to measure
            text = self.reference.measure(other, name, tensor)
            if text is not None:
                self.index.add("metric", (number, slot, other.event, text))

    # writing

    def flush(self) -> None:
        """Turn what is queued into rows."""
        self.hasher.fetch()
        self._rows.flush()

    def commit(self) -> None:
        """Make everything flushed so far durable against the death of the process."""
        for reason in self.shards.refusals:
            self.uncovered.note(schema.NOT_KEPT, reason)
        self.refused += len(self.shards.refusals)
        self.shards.refusals.clear()
        for row in self.uncovered.changes():
            self.index.add("uncovered", row)
        self.shards.flush()
        self.index.commit()

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self.shards.close()
        self.index.close()


def type_of(tensor: torch.Tensor) -> str:
    """What kind of tensor it is, for a message."""
    kind = type(tensor).__name__
    return "%s, %s, %s" % (kind, str(tensor.layout).rpartition(".")[2], dtype_name(tensor.dtype))
