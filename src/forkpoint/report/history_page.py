"""A history as one self-contained page: what changed, and a matrix to hover over and to filter."""

from __future__ import annotations

import os
from pathlib import Path

from plotly.offline import get_plotlyjs

from forkpoint.bisect import History
from forkpoint.report.history import introduction, reasons, summary, tables
from forkpoint.report.page import asset, data_block, render_page, write_page
from forkpoint.report.words import operator, plain


def write_history_page(history: History, path: str | os.PathLike[str]) -> Path:
    """Write the page (about 5 MB) and return its path; an old file is replaced whole.

    Raises `StorageFull` where the disk is full, and `UsageError` where no file can be there.
    """
    return write_page(history_to_html(history), path)


def history_to_html(history: History) -> str:
    """The page as text; nothing in it is loaded from elsewhere."""
    changes = [
        {
            "step": f"{change.before} → {change.after}",
            "summary": summary(change),
            "changed": len(change.rows),
            "compared": change.compared,
            "share": len(change.rows) / change.compared if change.compared else 0.0,
            "tables": list(tables(history, change)),
            "sentences": list(reasons(history, change)),
        }
        for change in history.changes
    ]
    return render_page(
        "history.html.j2",
        scripts={
            "page": asset("page.js"),
            "plotly": get_plotlyjs(),
            "history": asset("history.js"),
        },
        title=f"{history.package}: {history.subject}",
        introduction=list(introduction(history)),
        changes=changes,
        data=data_block(_matrix(history)),
    )


def _matrix(history: History) -> dict[str, object]:
    """What the script draws: classes of bits, and what to say of each cell."""
    hover: dict[tuple[str, str, str], str] = {}
    for change in history.changes:
        for one in change.rows:
            since = one.since or change.before
            text = f"{one.differing} of {one.inputs} inputs differ from {since}"
            if one.max_abs is not None:
                text += f", max abs {one.max_abs:.3g}, {one.max_ulp} ULP"
            if one.nearer:
                text += f", nearer to float64: {one.nearer}"
            hover[one.name, one.axis, change.after] = text
    versions = [one.version for one in history.releases]
    return {
        "versions": versions,
        "rows": [
            {
                "name": plain(f"{row.name} {row.axis}".strip()),
                "group": plain(f"{operator(row.op)} {row.dtype} {row.axis}") if row.op else None,
                "cells": row.cells,
                "hover": [
                    plain(hover.get((row.name, row.axis, version), row.absent.get(version, "")))
                    for version in versions
                ],
            }
            for row in history.rows
        ],
    }
