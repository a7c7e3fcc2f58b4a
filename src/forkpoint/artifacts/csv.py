"""CSV and TSV, cell by cell."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.documents import Changes
from forkpoint.artifacts.text import lines

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class Csv:
    """Rows by their number, cells by the names of the first row."""

    kind = "csv"

    def recognises(self, file: File) -> bool:
        """By the suffix."""
        return file.suffix in _DELIMITERS

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Cells as text, but numbers by the limits of float32, as in JSON."""
        changes = Changes(context)
        rows = zip_longest(_rows(baseline), _rows(candidate))
        header: list[str] = []
        for number, (one, two) in enumerate(rows, 1):
            if one is None or two is None:
                changes.change(f"row {number}", "only in one file")
                continue
            if number == 1 and one == two and len(set(one)) == len(one):
                header = one if all(isinstance(_cell(name), str) for name in one) else []
            _walk(changes, f"row {number}", header, (one, two))
        yield changes.found()


def _walk(
    changes: Changes, place: str, header: list[str], pair: tuple[list[str], list[str]]
) -> None:
    one, two = pair
    if one == two:  # most rows of most files: no need to look at their numbers
        changes.total += len(one)
        return
    if len(one) != len(two):
        changes.change(place, f"{len(one)} and {len(two)} cells")
        return
    names = header if len(header) == len(one) else [f"column {n}" for n in range(1, len(one) + 1)]
    for name, b, c in zip(names, one, two, strict=True):
        if b == c:
            changes.total += 1
        else:
            changes.walk(f"{place}, {name}", _cell(b), _cell(c))


def _cell(text: str) -> Any:
    """A number where it is written as one, else the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _rows(file: File) -> Iterator[list[str]]:
    try:
        yield from csv.reader(_text(file), delimiter=_DELIMITERS[file.suffix], strict=True)
    except csv.Error as error:
        raise Refused(
            f"It cannot be read as a table: {error}.",
            hint="Is a quote left open? Fields may have at most 128 KiB.",
        ) from error


def _text(file: File) -> Iterator[str]:
    for number, line in enumerate(lines(file), 1):
        try:
            yield line.decode() + "\n"
        except UnicodeDecodeError as error:
            raise Refused(
                f"Line {number} is not UTF-8: {error.reason}.", hint="Write it as UTF-8."
            ) from error
