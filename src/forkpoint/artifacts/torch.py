"""Files of ``torch.save``: pickles, which are never unpickled here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from forkpoint.artifacts.arrays import compare_named
from forkpoint.artifacts.changes import Changes
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.unpacking import NEEDS_TORCH, Contents
from forkpoint.model import Verdict

VALUES = "values outside of tensors"
_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"})
_PICKLE = b"\x80"


class TorchFile:
    """A pickle, bare or inside of torch's zip archive."""

    kind = "torch"

    def recognises(self, file: File) -> bool:
        """By the archive's first member, or a suffix before a pickle."""
        if file.head.startswith(b"PK\x03\x04"):
            return b"/data.pkl" in file.head[:512]
        return file.suffix in _SUFFIXES and file.head.startswith(_PICKLE)

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Tensors by their place, then all other values.

        Both come from ``context.contents``; without it the file is refused.
        """
        one, two = (contents_of(file, context) for file in (baseline, candidate))
        yield from compare_named(one.tensors, two.tensors, context)
        for name in sorted(one.skipped.keys() | two.skipped.keys()):
            yield Found(
                part=name,
                verdict=Verdict.NOT_COMPARABLE,
                summary=f"{one.skipped.get(name) or two.skipped.get(name)}: not compared",
            )
        changes = Changes(context)
        changes.walk("", one.value, two.value)
        found = changes.found()
        bare = not (one.tensors or two.tensors or one.skipped or two.skipped)
        if bare or found.verdict is not Verdict.IDENTICAL:
            yield replace(found, part="" if bare else VALUES)


def contents_of(file: File, context: Context) -> Contents:
    """What a worker has read of the file; raises `Refused` where none has, or none could."""
    if context.contents is None:
        raise Refused(
            "Not compared: the bytes differ, and it is a pickle, which can run code. "
            f"{NEEDS_TORCH}",
            hint=NEEDS_TORCH,
        )
    found = context.contents[file.path]
    if isinstance(found, Refused):
        raise found
    return found
