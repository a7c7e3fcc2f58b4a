"""Which tensor content lies in which memory: what has a digest is not hashed again."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, NamedTuple, Tuple

import torch

from ._compat import version_of
from .hasher import Raw, final

if TYPE_CHECKING:
    _Reference = weakref.ref[torch.Tensor]
else:
    _Reference = weakref.ref  # takes no parameters on Python 3.8

Key = Tuple[int, torch.dtype, Tuple[int, ...], Tuple[int, ...], bool, bool]
_UNCOUNTED = (-1,)


class Layout(NamedTuple):
    """How a tensor lies in memory; one object for all tensors that lie alike.

    ``columns`` are the ids, in the index, of the texts of dtype, shape, strides and device.
    """

    dtype: str
    shape: tuple[int, ...]
    columns: tuple[int, int, int, int]


class Content:
    """One content of one tensor: its id in the index and what its digest comes from.

    ``raw`` is a sum over columns (an int or a `hasher.Pending`), or None where the content has no
    digest of its own: a view (then ``base`` is set) or uninitialised memory.
    """

    __slots__ = ("_digest", "base", "id", "layout", "raw", "source", "stored")

    def __init__(
        self,
        number: int,
        layout: Layout,
        source: int,
        raw: Raw | None,
        base: Content | None = None,
    ) -> None:
        self.id = number
        self.layout = layout
        self.source = source
        self.raw = raw
        self.base = base
        self.stored = False
        self._digest: int | None = None

    @property
    def digest(self) -> int | None:
        """The digest, or None; of a tensor on a device only after `Hasher.fetch`."""
        if self._digest is None and self.raw is not None:
            self._digest = final(self.raw, self.layout.dtype, self.layout.shape)
        return self._digest


class _Entry(_Reference):
    """Dies with its tensor object, and is taken out of the tables then.

    The reference is never followed: a tensor object that C++ keeps alive must not be brought
    back by us. As long as the entry is there the memory cannot have been given to another.
    """

    __slots__ = ("content", "key", "storage", "versions")

    content: Content
    key: Key
    storage: int
    versions: tuple[int, ...]


class Known:
    """Contents by memory (address, dtype, shape, strides), while it is alive and unchanged.

    That it is unchanged is known from torch's version counter, and from `invalidate`, which
    the recorder calls for each write that it sees. Inference tensors have no counter: they are
    known only while ``sees_writes``, that is while every op is recorded. What numpy writes
    into a tensor's memory, nobody counts.
    """

    def __init__(self) -> None:
        self._sees_writes = True
        self._entries: dict[Key, _Entry] = {}
        self._storages: dict[int, set[Key]] = {}
        self._whole: dict[int, _Entry] = {}

    def find(self, tensor: torch.Tensor) -> Content | None:
        """The content of the tensor if it is known, else None; of any tensor whatever."""
        try:
            entry = self._entries.get(key_of(tensor))
        except RuntimeError:  # no strides or no address: such tensors are never known
            return None
        if entry is None or version_of(tensor) not in entry.versions:
            return None
        return entry.content

    def whole(self, tensor: torch.Tensor) -> Content | None:
        """The content that fills the tensor's storage, if it is known, else None.

        Autograd makes a tensor object of its own for a view, so that the one which the op
        returned is gone; such a view is known through its storage.
        """
        entry = self._whole.get(storage_of(tensor))
        if entry is None or version_of(tensor) not in entry.versions:
            return None
        return entry.content

    def watch(self, sees_writes: bool) -> None:
        """From now on, all writes are seen, or not."""
        if not sees_writes and self._sees_writes:
            self.forget_uncounted()
        self._sees_writes = sees_writes

    def forget_uncounted(self) -> None:
        """Forget inference tensors: something ran that may have written to them unseen."""
        for entry in list(self._entries.values()):
            if entry.versions == _UNCOUNTED:
                self._forget(entry)

    def release(self, *tensors: object) -> None:
        """Forget these very objects, and hold no reference to them, weak or not."""
        for tensor in tensors:
            for reference in weakref.getweakrefs(tensor):
                if isinstance(reference, _Entry):
                    self._forget(reference)

    def occupies(self, storage: int) -> bool:
        """Whether a content is known in the storage at this address, while writes are seen."""
        return storage in self._storages

    def add(
        self, tensor: torch.Tensor, key: Key, content: Content, *, mutated: bool = False
    ) -> None:
        """Remember a content under `key_of` its tensor.

        ``mutated``: by an in-place op that is still under way. Autograd counts such an op's new
        version only after the op's own code has returned.
        """
        version = version_of(tensor)
        if version < 0 and not self._sees_writes:
            return
        entry = _Entry(tensor, self._forget)
        entry.content, entry.key, entry.storage = content, key, 0
        entry.versions = (version, version + 1) if mutated and version >= 0 else (version,)
        self._entries[key] = entry
        if not self._sees_writes:
            return  # `invalidate` and `whole` are for ops only
        storage = entry.storage = storage_of(tensor)
        keys = self._storages.get(storage)
        if keys is None:
            self._storages[storage] = {key}
        else:
            keys.add(key)
        if content.raw is not None and _fills_storage(tensor):
            self._whole[storage] = entry

    def invalidate(self, tensor: torch.Tensor) -> None:
        """Forget all contents in the tensor's storage: it is about to be written to."""
        for key in self._storages.pop(storage_of(tensor), ()):
            self._entries.pop(key, None)
        self._whole.pop(storage_of(tensor), None)

    def _forget(self, entry: _Entry) -> None:
        if self._whole.get(entry.storage) is entry:
            del self._whole[entry.storage]
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            keys = self._storages.get(entry.storage)
            if keys is not None:
                keys.discard(entry.key)
                if not keys:
                    self._storages.pop(entry.storage, None)


def _fills_storage(tensor: torch.Tensor) -> bool:
    size = tensor.numel() * tensor.element_size()
    return bool(tensor.is_contiguous()) and bool(size == tensor.untyped_storage().nbytes())


def key_of(tensor: torch.Tensor) -> Key:
    """What tells one piece of memory, read in one way, from another."""
    return (
        tensor.data_ptr(),
        tensor.dtype,
        tensor.shape,
        tensor.stride(),
        tensor.is_conj(),
        tensor.is_neg(),
    )


def storage_of(tensor: torch.Tensor) -> int:
    """The address at which the tensor's storage starts."""
    return int(tensor.untyped_storage().data_ptr())
