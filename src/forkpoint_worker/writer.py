"""From tensors and events to rows: digests, contents, what is kept, metrics.

Everything of a step is gathered here and written when the step ends, after one fetch of the
digests that lie on devices.
"""

from . import schema
from ._compat import capturing, has_plain_memory
from .digest import combine, dtype_name, of_text
from .hasher import Hasher
from .index import Index
from .known import Content, Known
from .shards import Shards
from .uncovered import Uncovered


class Event:
    """One event about to be written."""

    __slots__ = ("call", "inputs", "inside", "kind", "module", "op", "outputs", "plain", "sign")

    def __init__(self, kind, module, op="", inside=1):
        self.kind = kind
        self.module = module
        self.op = op
        self.inside = inside
        self.call = 0
        self.sign = ""
        self.inputs = []  # (slot, name, Content)
        self.outputs = []
        self.plain = ""  # text of plain values that are part of the digest


class Writer:
    """One recording's index, tensors and digests."""

    def __init__(self, folder, max_storage, reference=None):
        self.index = Index(folder + "/index.sqlite")
        self.shards = Shards(folder + "/tensors", max_storage)
        self.hasher = Hasher()
        self.known = Known()
        self.uncovered = Uncovered()
        self.reference = reference
        self._events = []
        self._contents = []
        self._kept = set()  # for the whole run: a weight in two steps' windows is stored once

    # contents

    def content(self, tensor, source):
        """The tensor's content, hashed unless it is known; None where it cannot be hashed."""
        if not self.readable(tensor):
            return None
        found = self.known.find(tensor)
        if found is not None and found.raw is not None:
            return found
        return self.fresh(tensor, source, base=found and found.base)

    def identify(self, tensor):
        """As `content`, but a view of something known stays a view, without a digest."""
        if not self.readable(tensor):
            return None
        found = self.known.find(tensor)
        if found is not None:
            return found
        base = self.known.whole(tensor) if tensor.numel() else None
        if base is not None:
            return self.remember(tensor, schema.SOURCE_VIEW, None, base)
        return self.fresh(tensor, schema.SOURCE_OUTSIDE)

    def fresh(self, tensor, source, mutated=False, base=None):
        """A new content, hashed now; ``base``: what it is a view of, if that is known."""
        try:
            raw = self.hasher.submit(tensor)
        except RuntimeError as error:  # no memory for a contiguous copy, an op missing there
            self.uncovered.note("tensor not hashed", "%s: %s" % (tensor.dtype, error))
            return None
        return self.remember(tensor, source, raw, base, mutated)

    def view(self, tensor, base, owner):
        """A view of ``owner``, whose content is ``base``.

        One that covers the same bytes in the same order has the same sum (`digest`), for free.
        """
        same = (
            tensor.data_ptr() == owner.data_ptr()
            and tensor.numel() * tensor.element_size() == owner.numel() * owner.element_size()
            and tensor.is_contiguous()
            and owner.is_contiguous()
        )
        return self.remember(tensor, schema.SOURCE_VIEW, base.raw if same else None, base)

    def remember(self, tensor, source, raw, base, mutated=False):
        """A new content with or without a digest."""
        number = self.index.next_tensor()
        content = Content(number, dtype_name(tensor.dtype), tuple(tensor.shape), source, raw, base)
        self.known.add(tensor, content, mutated)
        self._contents.append((content, tuple(tensor.stride()), str(tensor.device)))
        return content

    def readable(self, tensor):
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
    def queued(self):
        """How many events wait for the next flush."""
        return len(self._events)

    def add(self, event):
        """Queue an event; its number is its place in the order of ends."""
        number = self.index.next_event()
        self._events.append((number, event))
        return number

    def keep(self, content, tensor):
        """Store a tensor's bytes, once; what lies on a device is fetched now."""
        if content is None or content.raw is None or content.id in self._kept:
            return
        if tensor.device.type != "cpu":
            self.hasher.fetch()
        place = self.shards.put(content.digest, tensor)
        if place is not None:
            self._kept.add(content.id)
            self.index.add("stored", (content.id,) + place)

    def measure(self, number, event, tensors, kept):
        """Compare an event's outputs with what the reference kept of the same event."""
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

    def flush(self, step):
        """Turn what is queued into rows of a step."""
        self.hasher.fetch()
        name = self.index.name
        for content, stride, device in self._contents:
            base = None if content.base is None else content.base.id
            self.index.add("tensor", (
                content.id, name(content.dtype), name(_numbers(content.shape)),
                name(_numbers(stride)), name(device), content.source, base, content.digest,
            ))  # fmt: skip
        for number, event in self._events:
            self._event_rows(number, event, step, name)
        self._contents, self._events = [], []

    def _event_rows(self, number, event, step, name):
        values = event.outputs
        if event.kind in (schema.KIND_INPUT, schema.KIND_WEIGHTS):
            values = event.inputs
        digests = [content.digest for content in _computed(event, values) if content is not None]
        digests = [digest for digest in digests if digest is not None]
        if event.plain:
            digests.append(of_text(event.plain))
        self.index.add("event", (
            number, step, event.inside, event.kind, name(event.module),
            name(event.op) if event.op else 0, event.call,
            name(event.sign) if event.sign else 0, combine(digests) if digests else None,
        ))  # fmt: skip
        for role, entries in ((schema.ROLE_IN, event.inputs), (schema.ROLE_OUT, event.outputs)):
            for slot, text, content in entries:
                if content is not None:
                    self.index.add("value", (number, role, slot, name(text), content.id))

    def commit(self):
        """Make everything flushed so far durable against the death of the process."""
        for row in self.uncovered.changes():
            self.index.add("uncovered", row)
        self.shards.flush()
        self.index.commit()

    def close(self):
        """Commit and close."""
        self.commit()
        self.shards.close()
        self.index.close()


def _computed(event, values):
    """The contents that an event's digest is made of: an op's views and its inputs are not."""
    contents = [content for _, _, content in values]
    if event.kind != schema.KIND_OP:
        return contents
    given = {id(content) for _, _, content in event.inputs}
    return [
        content
        for content in contents
        if content is None or not (id(content) in given or content.source == schema.SOURCE_VIEW)
    ]


def type_of(tensor):
    """What kind of tensor it is, for a message."""
    kind = type(tensor).__name__
    return "%s, %s, %s" % (kind, str(tensor.layout).rpartition(".")[2], dtype_name(tensor.dtype))


def _numbers(values):
    return ",".join(map(str, values))
