"""Steps under way, and the names of the modules in them."""

import weakref

from ._compat import has_plain_memory, version_of
from .fingerprint import attention


class Step:
    """One step under way, or the ops after it."""

    def __init__(self, number, pick, roots, root):
        self.number = number
        self.pick = pick
        self.level = pick.level
        self.paths = roots.paths(root)
        self._root = weakref.ref(root)  # the ops after a step must not keep its model alive
        self.name = roots.name(root)
        self.calls = {}
        self.inside = 1
        self.window = pick.window and pick.after is None
        self.kept = {}

    def count(self, event):
        """Number an event among its like."""
        key = (event.kind, event.module, event.op, event.inside)
        event.call = self.calls.get(key, 0)
        self.calls[key] = event.call + 1

    def path(self, module):
        """The module's path below the root, or ``?ClassName`` for one the root does not own."""
        found = self.paths.get(id(module))
        if found is None:
            # made after the first call, or not a registered child of the root
            root = self._root()
            self.paths.update({id(m): name for name, m in root.named_modules()} if root else {})
            found = self.paths.setdefault(id(module), "?" + type(module).__name__)
        return found


class Roots:
    """Display names of root modules and the paths of what lies below them."""

    def __init__(self):
        self._seen = weakref.WeakKeyDictionary()
        self._counts = {}
        self.attention = {}

    def _entry(self, root):
        entry = self._seen.get(root)
        if entry is None:
            kind = type(root).__name__
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            name = kind if number == 1 else "%s#%d" % (kind, number)
            entry = [name, {id(m): path for path, m in root.named_modules()}, None]
            self._seen[root] = entry
            self.attention.update(attention([(name, root)]))
        return entry

    def name(self, root):
        """``BertModel``; a second instance of the class is ``BertModel#2``."""
        return self._entry(root)[0]

    def paths(self, root):
        """{id of a module: its path below the root}."""
        return self._entry(root)[1]

    def weights_changed(self, root, tensors):
        """Whether weights must be (re-)hashed: never seen, moved, or written to since."""
        mark = [(t.data_ptr(), version_of(t)) for _, t in tensors if has_plain_memory(t)]
        entry = self._entry(root)
        changed, entry[2] = entry[2] != mark, mark
        return changed
