"""Tables and lists for a terminal; all text goes in as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from forkpoint.report import words

MAX_ROWS = 24
MAX_NAME = 64
"""Characters of a name in a cell; longer ones lose their middle."""

_MAX_FACT = 3000


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of texts; long ones are shortened, and of many rows the first are shown."""
    table = titled_table(title)
    for column in columns:
        table.add_column(Text(words.shorten(column, MAX_NAME)), overflow="fold")
    for row in rows[:MAX_ROWS]:
        table.add_row(*(Text(words.shorten(cell, 3 * MAX_NAME)) for cell in row))
    cut(table, len(rows) - MAX_ROWS, "row")
    return table


def titled_table(title: str) -> Table:
    """An empty table with a title, in the look that all tables share."""
    return Table(
        title=Text(words.plain(title)) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # an operator and "within tolerance" fit side by side
        header_style="dim",
        caption_justify="left",
        caption_style="",
    )


def cut(table: Table, left: int, noun: str, plural: str = "") -> None:
    """Say under the table how many things it leaves out."""
    if left > 0:
        many = f"{left:,} more {noun if left == 1 else plural or noun + 's'}"
        table.caption = Text(f"… {many}; --format json has all")


def item(sentence: str) -> Padding:
    """A sentence with a hanging indent."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    grid.add_row("-", Text(sentence))
    return Padding(grid, (0, 0, 0, 2))


def fact_list(facts: Iterable[tuple[str, str]], *, indent: int = 4, width: int = 10) -> Padding:
    """Labels on the left, and texts that wrap beside them."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=width, style="dim")
    grid.add_column(overflow="fold")
    for label, text in facts:
        grid.add_row(Text(words.shorten(label, MAX_NAME)), Text(words.shorten(text, _MAX_FACT)))
    return Padding(grid, (0, 0, 0, indent))
