"""Steps under way, and the names of the modules in them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Iterable

import torch

from ._compat import has_plain_memory, version_of
from .fingerprint import attention

if TYPE_CHECKING:
    from .plan import Pick
    from .reference import Kept, Place
    from .writer import Event


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
        self.window = pick.window and pick.after is None
        self.kept: dict[Place, Kept] = {}

    def count(self, event: Event) -> None:
        """Number an event among its like."""
        key = (event.kind, event.module, event.op, event.inside)
        event.call = self.calls.get(key, 0)
        self.calls[key] = event.call + 1

    def path(self, module: torch.nn.Module) -> str:
        """The module's path below the root, or ``?ClassName`` for one the root does not own."""
        found = self.paths.get(id(module))
        if found is None:
            # made after the first call, or not a registered child of the root
            root = self._root()
            self.paths.update({id(m): name for name, m in root.named_modules()} if root else {})
            found = self.paths.setdefault(id(module), "?" + type(module).__name__)
        return found


class _Root:
    __slots__ = ("mark", "name", "paths")

    def __init__(self, name: str, paths: dict[int, str]) -> None:
        self.name = name
        self.paths = paths
        self.mark: list[tuple[int, int]] | None = None  # address and version of each weight


class Roots:
    """Display names of root modules and the paths of what lies below them."""

    def __init__(self) -> None:
        self._seen: weakref.WeakKeyDictionary[torch.nn.Module, _Root] = (
            weakref.WeakKeyDictionary()
        )
        self._counts: dict[str, int] = {}
        self.attention: dict[str, str] = {}

    def _entry(self, root: torch.nn.Module) -> _Root:
        entry = self._seen.get(root)
        if entry is None:
            kind = type(root).__name__
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            name = kind if number == 1 else "%s#%d" % (kind, number)
            paths = {id(m): path for path, m in root.named_modules()}
            entry = self._seen[root] = _Root(name, paths)
            self.attention.update(attention([(name, root)]))
        return entry

    def name(self, root: torch.nn.Module) -> str:
        """``BertModel``; a second instance of the class is ``BertModel#2``."""
        return self._entry(root).name

    def paths(self, root: torch.nn.Module) -> dict[int, str]:
        """{id of a module: its path below the root}."""
        return self._entry(root).paths

    def weights_changed(
        self, root: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> bool:
        """Whether weights must be (re-)hashed: never seen, moved, or written to since."""
        mark = [(t.data_ptr(), version_of(t)) for _, t in tensors if has_plain_memory(t)]
        entry = self._entry(root)
        changed, entry.mark = entry.mark != mark, mark
        return changed
