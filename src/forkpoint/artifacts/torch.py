"""Files of ``torch.save``: pickles, which are compared as bytes and never unpickled here."""

from __future__ import annotations

from collections.abc import Iterator

from forkpoint.artifacts.comparer import Context, File, Found, Refused

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

    def compare(self, _baseline: File, _candidate: File, _context: Context) -> Iterator[Found]:
        """Refuse: bytes are known to differ, and reading further could run code."""
        raise Refused(
            "The bytes differ. It is a pickle, which can run code, so it was not opened: "
            "save tensors with safetensors, or arrays with numpy.save, to have them measured.",
        )
