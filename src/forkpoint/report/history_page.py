"""A history as one self-contained page: a matrix to hover over and to filter."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path

import msgspec
from plotly.offline import get_plotlyjs

from forkpoint.bisect import History
from forkpoint.report.history import introduction, summary
from forkpoint.report.words import plain


def write_page(history: History, path: Path) -> Path:
    """Write the page (about 5 MB) and return its path; an old file is replaced whole."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(to_page(history), encoding="utf-8")
    return draft.replace(path)


def to_page(history: History) -> str:
    """The page as text; nothing in it is loaded from elsewhere."""
    script = (files("forkpoint.report") / "templates" / "history.js").read_text(encoding="utf-8")
    style = (files("forkpoint.report") / "templates" / "history.css").read_text(encoding="utf-8")
    scripts = [get_plotlyjs(), script]
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    )
    title = escape(plain(f"{history.package}: {history.subject}"))
    intro = "".join(f"<p>{escape(line)}</p>" for line in introduction(history))
    changes = "".join(f"<li>{escape(summary(change))}</li>" for change in history.changes)
    data = msgspec.json.encode(_data(history)).decode().replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<style>{style}</style></head><body><h1>{title}</h1>{intro}<ul>{changes}</ul>"
        '<p><label>Filter <input id="filter" placeholder="layer_norm float32"></label> '
        '<label><input id="changed" type="checkbox" checked> only rows that change</label> '
        '<span id="count"></span></p><div id="matrix"></div>'
        f'<script id="data" type="application/json">{data}</script>'
        + "".join(f"<script>{text}</script>" for text in scripts)
        + "</body></html>\n"
    )


def _data(history: History) -> dict[str, object]:
    hover: dict[tuple[str, str, str], str] = {}
    for change in history.changes:
        for one in change.rows:
            text = f"{one.differing} of {one.inputs} inputs differ from {change.before}"
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
                "cells": row.cells,
                "hover": [
                    plain(hover.get((row.name, row.axis, version), row.absent.get(version, "")))
                    for version in versions
                ],
            }
            for row in history.rows
        ],
    }


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
