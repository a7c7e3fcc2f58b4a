"""Steps under way, and the names of the modules in them."""

from __future__ import annotations

import ctypes
import functools
import weakref
from typing import TYPE_CHECKING, Callable, Iterator, Mapping, Tuple

import torch

from ._compat import has_plain_memory, version_of
from .fingerprint import attention

if TYPE_CHECKING:
    from .plan import Pick
    from .reference import Kept, Place
    from .rows import Event


class Step:
    """One step under way, or the ops after it."""

    def __init__(self, number: int, pick: Pick, roots: Roots, root: torch.nn.Module) -> None:
        self.number = number
        self.pick = pick
        self.level = pick.level
        self.paths = roots.paths(root)
        self._root = weakref.ref(root)  # the ops after a step must not keep its model alive
        self.name = roots.name(root)
        self.calls: dict[tuple[int, str, str, int], int] = {}
        self.inside = 1
        self.thread = 0
        self.window = pick.window and pick.after is None
        self.kept: dict[Place, Kept] = {}
        self.again: Callable[[str, object], None] | None = None  # set while it is called again

    def count(self, event: Event) -> None:
        """Number an event among its like."""
        key = (event.kind, event.module, event.op, event.inside)
        event.call = self.calls.get(key, 0)
        self.calls[key] = event.call + 1

    def move_window(self, path: str, call: int) -> None:
        """Open or shut the window in which ops are kept, if there is one, as a module ends."""
        place = "%s:%d" % (path, call)
        if place == self.pick.after:
            self.window = True
        elif place == self.pick.until:
            self.window = False

    def path(self, module: torch.nn.Module) -> str:
        """The module's path below the root, or ``?ClassName`` for one the root does not own."""
        found = self.paths.get(identity(module))
        if found is None:
            # made after the first call, or not a registered child of the root
            root = self._root()
            if root is not None:
                self.paths.update({identity(m): name for name, m in _named_modules(root)})
            found = self.paths.setdefault(identity(module), "?" + type(module).__name__)
        return found


def _named_modules(root: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """As the module's own, but of modules without a hash, too, or never initialised."""
    found: dict[int, tuple[str, torch.nn.Module]] = {}
    left = [("", root)]
    while left:
        path, module = left.pop()
        if found.setdefault(identity(module), (path, module))[0] == path:
            below = list(getattr(module, "_modules", {}).items())
            prefix = path + "." if path else ""
            left += [(prefix + name, one) for name, one in reversed(below) if one is not None]
    return list(found.values())


identity: Callable[[object], int] = object.__hash__
"""Tells objects that live at the same time apart, as `id` does, which is an audit event each time:
a hook of the script (or our own) would be called for every module.
"""

Mark = Tuple[int, int, bytes]  # address, version, the first element's bytes on a CPU


class _Root:
    __slots__ = ("marked", "marks", "name", "owners", "paths")

    def __init__(self, name: str, root: torch.nn.Module) -> None:
        self.name = name
        named = _named_modules(root)
        self.paths = {identity(module): path for path, module in named}
        # weakly, for they are looked through at every step: named_parameters takes milliseconds
        self.owners = [(path + "." if path else "", weakref.ref(m)) for path, m in named]
        self.marks: list[tuple[str, int, int, bytes]] | None = None  # of the last step
        self.marked: dict[str, Mark] = {}  # by full name, as they were when one had changed


class Roots:
    """Display names of root modules and the paths of what lies below them."""

    def __init__(self) -> None:
        # by identity: a module may be equal to others, and need not have a hash
        self._seen: dict[int, tuple[weakref.ref[torch.nn.Module], _Root]] = {}
        self._counts: dict[str, int] = {}
        self.attention: dict[str, str] = {}

    def _entry(self, root: torch.nn.Module) -> _Root:
        key = identity(root)
        seen = self._seen.get(key)
        if seen is not None and seen[0]() is root:
            return seen[1]
        kind = type(root).__name__
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        name = kind if number == 1 else "%s#%d" % (kind, number)
        entry = _Root(name, root)
        self._seen[key] = weakref.ref(root, functools.partial(self._gone, key)), entry
        self.attention.update(attention([(name, root)]))
        return entry

    def _gone(self, key: int, reference: weakref.ref[torch.nn.Module]) -> None:
        seen = self._seen.get(key)
        if seen is not None and seen[0] is reference:  # else another lives at its place already
            del self._seen[key]

    def name(self, root: torch.nn.Module) -> str:
        """``BertModel``; a second instance of the class is ``BertModel#2``."""
        return self._entry(root).name

    def paths(self, root: torch.nn.Module) -> dict[int, str]:
        """{`identity` of a module: its path below the root}."""
        return self._entry(root).paths

    def weights(self, root: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Parameters and buffers, by name, of the modules that the root had at its first call."""
        return {
            prefix + name: tensor
            for prefix, tensors in self._owned(root)
            for name, tensor in tensors.items()
            if tensor is not None
        }

    def _owned(
        self, root: torch.nn.Module
    ) -> Iterator[tuple[str, Mapping[str, torch.Tensor | None]]]:
        for prefix, reference in self._entry(root).owners:
            owner = reference()
            if owner is not None:
                yield prefix, getattr(owner, "_parameters", {})
                yield prefix, getattr(owner, "_buffers", {})

    def changed_weights(self, root: torch.nn.Module) -> set[str] | None:
        """Names of the weights to hash: never seen, moved, or written to since; None for none."""
        entry = self._entry(root)
        before = entry.marks
        # no names are put together here: it is done at every step
        entry.marks = marks = [
            (name, *_mark(tensor))
            for _, tensors in self._owned(root)
            for name, tensor in tensors.items()
            if tensor is not None and has_plain_memory(tensor)
        ]
        if before == marks:
            return None
        weights = self.weights(root).items()
        old = entry.marked
        entry.marked = new = {name: _mark(t) for name, t in weights if has_plain_memory(t)}
        # one write that was seen stands for others that are not, where no bytes are looked at
        return {name for name, mark in new.items() if mark != old.get(name) or not mark[2]}


def _mark(tensor: torch.Tensor) -> Mark:
    """Tells that a weight was written to; also by ``weight.data``, which counts no version."""
    address = tensor.data_ptr()
    some = b""
    if tensor.is_cpu and tensor.numel():
        some = ctypes.string_at(address, tensor.element_size())
    return address, version_of(tensor), some
