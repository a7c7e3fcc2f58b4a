"""JSON documents and JSON lines, value by value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from forkpoint.artifacts.changes import Changes, Repeated
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.numbers import Number
from forkpoint.artifacts.rankings import Rankings, compare_rankings, from_document
from forkpoint.artifacts.text import lines
from forkpoint.compare import worst
from forkpoint.model import Verdict

MAX_DOCUMENT = 64 << 20
BOM = b"\xef\xbb\xbf"
_HINT = "It is compared by its meaning only where it can be read as JSON."


class Json:
    """One JSON document, perhaps a ranking; order of keys and layout do not matter."""

    kind = "json"

    def recognises(self, file: File) -> bool:
        """By the suffix."""
        return file.suffix == ".json"

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Values by their path; of two rankings, queries, too."""
        data = [_read(file) for file in (baseline, candidate)]
        one, two = map(parse, data)
        changes = Changes(context)
        _compare_marks(changes, *data)
        changes.walk("", one, two)
        found = changes.found()
        rankings = from_document(one), from_document(two)
        if rankings[0] and rankings[1]:
            found = _as_ranking(found, rankings[0], rankings[1], context)
        yield found


class JsonLines:
    """One JSON value a line."""

    kind = "jsonl"

    def recognises(self, file: File) -> bool:
        """By the suffix."""
        return file.suffix in (".jsonl", ".ndjson")

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Values by line number and path; a blank line is a line."""
        changes = Changes(context)
        pairs = zip_longest(lines(baseline), lines(candidate))
        for number, (one, two) in enumerate(pairs, 1):
            if one is None or two is None:
                changes.change(f"line {number}", "only in one file")
            elif not one.strip(_SPACE) or not two.strip(_SPACE):
                _blank(changes, f"line {number}", one, two)
            else:
                _compare_marks(changes, one, two)
                changes.walk(f"line {number}: ", parse(one), parse(two))
        yield changes.found()


_SPACE = b" \t\r\n"  # what JSON takes for space


def _blank(changes: Changes, place: str, one: bytes, two: bytes) -> None:
    if bool(one.strip(_SPACE)) != bool(two.strip(_SPACE)):
        changes.change(place, "blank in one file")


def _compare_marks(changes: Changes, one: bytes, two: bytes) -> None:
    if one.startswith(BOM) != two.startswith(BOM):
        changes.change("the beginning", "a byte order mark in one file only")


def parse(data: bytes) -> Any:
    """Decode JSON (with NaN and infinities, as Python writes them); raises `Refused`.

    Numbers are `Number`, so that nothing of them is lost; keys that an object has more than once
    have all their values (`Repeated`).
    """
    try:
        return _DECODER.decode(data.removeprefix(BOM).decode())
    except RecursionError as error:
        raise Refused("The document is nested too deeply.", hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise Refused(f"This is not JSON: not UTF-8 at byte {error.start}.", hint=_HINT) from error
    except ValueError as error:
        raise Refused(f"This is not JSON: {str(error)[:200]}.", hint=_HINT) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    values: dict[str, Repeated] = {}
    for key, value in pairs:
        values.setdefault(key, Repeated()).append(value)
    return {key: held if len(held) > 1 else held[0] for key, held in values.items()}


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=Number
)


def _read(file: File) -> bytes:
    if file.size > MAX_DOCUMENT:
        raise Refused(
            f"The document has {file.size:,} bytes, and at most {MAX_DOCUMENT:,} are read.",
            hint="Write JSON lines, one value each, or a binary format.",
        )
    return file.read()


def _as_ranking(values: Found, one: Rankings, two: Rankings, context: Context) -> Found:
    """The rankings compared; as JSON they must be equal, too, to be called so."""
    found = compare_rankings(one, two, context)
    verdict = worst((found.verdict, values.verdict)) or found.verdict
    if verdict is Verdict.IDENTICAL or found.verdict is not Verdict.IDENTICAL:
        return replace(found, kind="ranking", verdict=verdict)
    summary = f"{found.summary}; {values.summary}"
    return replace(found, kind="ranking", verdict=verdict, summary=summary, where=values.where)
