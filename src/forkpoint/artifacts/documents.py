"""JSON documents and JSON lines, value by value.

Numbers in text carry no dtype: they are judged by the limits of float32, in which most of
them were computed, and have no ULP.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from forkpoint.artifacts.arrays import MAX_WHERE, share
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.text import lines
from forkpoint.compare import limits_for
from forkpoint.model import Verdict

MAX_DOCUMENT = 64 << 20
_HINT = "It is compared by its meaning only where it can be read as JSON."


class Json:
    """One JSON document; order of keys and layout do not matter."""

    kind = "json"

    def recognises(self, file: File) -> bool:
        """By the suffix."""
        return file.suffix == ".json"

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Values by their path."""
        for file in (baseline, candidate):
            if file.size > MAX_DOCUMENT:
                raise Refused(
                    f"The document has {file.size:,} bytes, and at most {MAX_DOCUMENT:,} are read.",
                    hint="Write JSON lines, one value each, or a binary format.",
                )
        changes = Changes(context)
        changes.walk("", parse(baseline.read()), parse(candidate.read()))
        yield changes.found()


class JsonLines:
    """One JSON value a line."""

    kind = "jsonl"

    def recognises(self, file: File) -> bool:
        """By the suffix."""
        return file.suffix in (".jsonl", ".ndjson")

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Values by line number and path."""
        changes = Changes(context)
        pairs = zip_longest(lines(baseline), lines(candidate))
        for number, (one, two) in enumerate(pairs, 1):
            if one is None or two is None:
                changes.change(f"line {number}", "only in one file")
            else:
                changes.walk(f"line {number}: ", parse(one or b"null"), parse(two or b"null"))
        yield changes.found()


def parse(data: bytes) -> Any:
    """Decode JSON (with NaN and infinities, as Python writes them); raises `Refused`."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise Refused("The document is nested too deeply.", hint=_HINT) from error
    except ValueError as error:
        raise Refused(f"This is not JSON: {error}.", hint=_HINT) from error


@dataclass(slots=True)
class Changes:
    """Counts of values that changed, and the first few of them."""

    context: Context
    total: int = 0
    changed: int = 0
    beyond: int = 0
    max_abs: float = 0.0
    where: list[str] = field(default_factory=list)

    def walk(self, path: str, one: Any, two: Any) -> None:
        """Compare two values and all that they hold."""
        waiting = [(path, one, two)]
        while waiting:
            path, one, two = waiting.pop()
            if isinstance(one, dict) and isinstance(two, dict):
                self._missing(path, one.keys() ^ two.keys())
                both = sorted(one.keys() & two.keys(), reverse=True)
                waiting += [(f"{path}.{key}", one[key], two[key]) for key in both]
            elif isinstance(one, list) and isinstance(two, list):
                if len(one) != len(two):
                    self.change(path or "the list", f"{len(one)} and {len(two)} items")
                pairs = enumerate(zip(one, two, strict=False))
                waiting += reversed([(f"{path}[{i}]", b, c) for i, (b, c) in pairs])
            else:
                self._leaf(path, one, two)

    def change(self, path: str, text: str, *, close: bool = False) -> None:
        """Note one value that changed."""
        self.total += 1
        self.changed += 1
        self.beyond += not close
        if len(self.where) < MAX_WHERE:
            self.where.append(f"{path[:120]}: {text[:120]}")

    def found(self) -> Found:
        """All changes as one result."""
        if not self.changed:
            verdict, text = (
                Verdict.IDENTICAL,
                "every value is equal; layout or order of keys is not",
            )
        else:
            verdict = Verdict.DIVERGENT if self.beyond else Verdict.WITHIN_TOLERANCE
            text = f"{share(self.changed / self.total)} of {self.total:,} values changed"
            text += f", numbers by up to {self.max_abs:.3g}" if self.max_abs else ""
        return Found(
            verdict=verdict,
            summary=text,
            elements=self.total,
            changed_fraction=self.changed / self.total if self.total else 0.0,
            where=tuple(self.where),
        )

    def _missing(self, path: str, keys: set[str]) -> None:
        for key in sorted(keys):
            self.change(f"{path}.{key}", "only in one file")

    def _leaf(self, path: str, one: Any, two: Any) -> None:
        if type(one) is type(two) and (one == two or (one != one and two != two)):  # noqa: PLR0124
            self.total += 1
            return
        self.change(path or "the value", f"{one!r} and {two!r}", close=self._close(one, two))

    def _close(self, one: Any, two: Any) -> bool:
        if not {type(one), type(two)} <= {int, float}:
            return False
        try:
            difference = abs(float(one) - float(two))
        except OverflowError:
            return False
        if not math.isfinite(difference):
            return False
        self.max_abs = max(self.max_abs, difference)
        limits = limits_for(self.context.tolerance, "", "float32")
        if limits is None or float not in {type(one), type(two)}:
            return False
        return difference <= limits[0] + limits[1] * abs(float(one))
