"""CSV and TSV, cell by cell."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from forkpoint.artifacts.changes import Changes, contrast
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.numbers import as_number
from forkpoint.artifacts.text import lines
from forkpoint.inert import name

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, and the text that they were taken from."""

    cells: list[str]
    text: str


class Csv:
    """Rows by their number, cells by the names of the first row."""

    kind = "csv"

    def recognises(self, file: File) -> bool:
        """By the suffix."""
        return file.suffix in _DELIMITERS

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Cells as text, but numbers by their values; what looks like a name is no number."""
        table = _Table(Changes(context), _DELIMITERS[baseline.suffix])
        rows = zip_longest(_rows(baseline), _rows(candidate))
        for number, (one, two) in enumerate(rows, 1):
            if one is None or two is None:
                table.changes.change(f"row {number}", "only in one file")
            else:
                table.add(number, one, two)
        yield table.changes.found()


@dataclass(slots=True)
class _Table:
    """Two tables, row by row; ``header`` holds the names where both have the same."""

    changes: Changes
    delimiter: str
    header: list[str] | None = None

    def add(self, number: int, one: Row, two: Row) -> None:
        """Compare one row of each."""
        place = f"row {number}"
        if number == 1:
            self._name(one.cells, two.cells)
        if one.cells == two.cells:
            self.changes.total += len(one.cells)
            if one.text != two.text and self._empty(one) != self._empty(two):
                self.changes.change(place, "an empty cell is in quotes in one file only")
        elif len(one.cells) != len(two.cells):
            self.changes.change(place, f"{len(one.cells):,} and {len(two.cells):,} cells")
        else:
            self._cells(place, one.cells, two.cells)

    def _name(self, one: list[str], two: list[str]) -> None:
        texts = all(as_number(cell) is None for cell in one)
        if one == two and texts and len(set(one)) == len(one):
            self.header = one

    def _cells(self, place: str, one: list[str], two: list[str]) -> None:
        named = self.header is not None and len(self.header) == len(one)
        for at, (b, c) in enumerate(zip(one, two, strict=True)):
            if b == c:
                self.changes.total += 1
                continue
            column = name(self.header[at][:60]) if self.header and named else f"column {at + 1}"
            self._unlike(f"{place}, {column}", b, c)

    def _unlike(self, place: str, one: str, two: str) -> None:
        b, c = as_number(one), as_number(two)
        if b is None or c is None:
            self.changes.change(place, contrast(one, two))
        else:
            self.changes.number(place, b, c)

    def _empty(self, row: Row) -> list[bool]:
        """Which cells are a pair of quotes: some readers tell them from cells with nothing."""
        cut = re.escape(self.delimiter)
        cells = re.finditer(rf'(?:^|{cut})("(?:[^"]|"")*"|[^{cut}]*)', row.text.rstrip("\r\n"))
        return [found[1] == '""' for found in cells]


def _rows(file: File) -> Iterator[Row]:
    taken: list[str] = []

    def text() -> Iterator[str]:
        for line in _text(file):
            taken.append(line)
            yield line

    try:
        for cells in csv.reader(text(), delimiter=_DELIMITERS[file.suffix], strict=True):
            yield Row(cells, "".join(taken))
            taken.clear()
    except csv.Error as error:
        raise Refused(
            f"It cannot be read as a table: {error}.",
            hint="Is a quote left open? Fields may have at most 128 KiB.",
        ) from error


def _text(file: File) -> Iterator[str]:
    for number, line in enumerate(lines(file), 1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise Refused(
                f"Line {number} is not UTF-8: {error.reason}.", hint="Write it as UTF-8."
            ) from error
