"""Text, line by line, and any other file, byte by byte."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

from forkpoint.artifacts.arrays import BLOCK, MAX_WHERE, share
from forkpoint.artifacts.comparer import Context, File, Found, Refused, past_holes
from forkpoint.model import Verdict

MAX_LINE = 16 << 20
_SUFFIXES = frozenset({".txt", ".md", ".log", ".yaml", ".yml", ".toml", ".xml", ".html", ".svg"})


class PlainText:
    """Files that decode as text; a line is the unit."""

    kind = "text"

    def recognises(self, file: File) -> bool:
        """By the suffix, or where the first bytes are printable UTF-8."""
        if b"\0" in file.head:
            return False
        try:
            file.head[:-4].decode()
        except UnicodeDecodeError:
            return False
        return file.suffix in _SUFFIXES or bool(file.head)

    def compare(self, baseline: File, candidate: File, _context: Context) -> Iterator[Found]:
        """Lines by their number."""
        total, changed, ends, where = 0, 0, 0, list[str]()
        for number, (one, two) in enumerate(zip_longest(lines(baseline), lines(candidate)), 1):
            total = number
            if one != two:
                changed += 1
                only_end = _stem(one) == _stem(two)
                ends += only_end
                if len(where) < MAX_WHERE:
                    where.append(f"line {number}" + (": only its end" if only_end else ""))
        text = f"{share(changed / max(total, 1))} of {total:,} lines changed"
        yield Found(
            verdict=Verdict.DIVERGENT if changed else Verdict.IDENTICAL,
            summary=text + (f", {ends:,} of them only in how they end" if ends else ""),
            elements=total,
            changed_fraction=changed / max(total, 1),
            where=tuple(where),
        )


class RawBytes:
    """What no other comparer knows."""

    kind = "bytes"

    def recognises(self, _file: File) -> bool:
        """Every file is made of bytes."""
        return True

    def compare(self, baseline: File, candidate: File, _context: Context) -> Iterator[Found]:
        """Bytes by their offset, up to the end of the shorter file."""
        total = max(baseline.size, candidate.size)
        common = min(baseline.size, candidate.size)
        changed, first, at = total - common, None, 0
        with baseline.open() as one, candidate.open() as two:
            while (at := past_holes((one, two), at, common)) < common:
                for stream in (one, two):
                    stream.seek(at)
                blocks = [stream.read(min(BLOCK, common - at)) for stream in (one, two)]
                size = min(map(len, blocks))
                if not size:
                    raise Refused("A file became shorter while it was read.", hint="Try it again.")
                b, c = (np.frombuffer(block[:size], dtype=np.uint8) for block in blocks)
                differ = np.flatnonzero(b != c)
                if first is None and differ.size:
                    first = at + int(differ[0])
                changed += differ.size
                at += size
        first = common if first is None else first
        yield Found(
            verdict=Verdict.DIVERGENT if changed else Verdict.IDENTICAL,
            summary=_sizes(baseline.size, candidate.size)
            + f"{share(changed / max(total, 1))} of the bytes changed",
            elements=total,
            changed_fraction=changed / max(total, 1),
            where=(f"byte {first}",),
        )


def lines(file: File) -> Iterator[bytes]:
    """The lines of a file, with their ends; raises `Refused` for a line beyond `MAX_LINE`."""
    with io.BufferedReader(file.open()) as stream:
        while line := stream.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise Refused(
                    f"A line is longer than {MAX_LINE >> 20} MiB.",
                    hint="It is not compared as text. Break the line, or use a binary format.",
                )
            yield line


def _stem(line: bytes | None) -> bytes | None:
    return None if line is None else line.rstrip(b"\r\n")


def _sizes(one: int, two: int) -> str:
    return "" if one == two else f"{one:,} and {two:,} bytes; "
