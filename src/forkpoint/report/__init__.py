"""What people and machines read: terminal, JSON, Markdown and HTML reports, and progress."""

from __future__ import annotations

from forkpoint.report.artifacts import artifacts_to_markdown, render_artifacts
from forkpoint.report.artifacts_page import write_artifacts_html
from forkpoint.report.audit import (
    audit_from_json,
    audit_to_json,
    audit_to_markdown,
    render_audit,
)
from forkpoint.report.audit_page import write_audit_page
from forkpoint.report.files import artifact_rows, artifact_sentence
from forkpoint.report.html import write_html
from forkpoint.report.json import (
    artifacts_to_json,
    from_json,
    json_schema,
    read_comparison,
    to_json,
)
from forkpoint.report.markdown import to_markdown
from forkpoint.report.progress import Progress
from forkpoint.report.summary import headline, sentences
from forkpoint.report.tables import plain_table
from forkpoint.report.terminal import render_comparison

__all__ = [
    "Progress",
    "artifact_rows",
    "artifact_sentence",
    "artifacts_to_json",
    "artifacts_to_markdown",
    "audit_from_json",
    "audit_to_json",
    "audit_to_markdown",
    "from_json",
    "headline",
    "json_schema",
    "plain_table",
    "read_comparison",
    "render_artifacts",
    "render_audit",
    "render_comparison",
    "sentences",
    "to_json",
    "to_markdown",
    "write_artifacts_html",
    "write_audit_page",
    "write_html",
]
