"""What people and machines read: terminal, JSON, Markdown and HTML reports, and progress."""

from __future__ import annotations

from forkpoint.report.html import write_html
from forkpoint.report.json import from_json, json_schema, to_json
from forkpoint.report.markdown import to_markdown
from forkpoint.report.progress import Progress
from forkpoint.report.summary import headline, sentences
from forkpoint.report.terminal import render_comparison

__all__ = [
    "Progress",
    "from_json",
    "headline",
    "json_schema",
    "render_comparison",
    "sentences",
    "to_json",
    "to_markdown",
    "write_html",
]
