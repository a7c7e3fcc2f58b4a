"""An audit as people and machines read it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from forkpoint.errors import UsageError
from forkpoint.report import (
    audit_from_json,
    audit_to_json,
    audit_to_markdown,
    render_audit,
    write_audit_page,
)
from forkpoint.report.schema import AUDIT_FILE_NAME, audit_schema_text, shipped_schema
from tests.audit.examples import audit, full, trial


def test_text(snapshot: SnapshotAssertion) -> None:
    out = io.StringIO()
    render_audit(full(), Console(file=out, width=80))
    assert out.getvalue() == snapshot


def test_markdown(snapshot: SnapshotAssertion) -> None:
    assert audit_to_markdown(full()) == snapshot


def test_json_keeps_everything_and_follows_its_schema() -> None:
    data = audit_to_json(full())
    assert audit_from_json(data) == full()
    assert shipped_schema(AUDIT_FILE_NAME) == audit_schema_text()
    jsonschema.validate(json.loads(data), json.loads(audit_schema_text()))


def test_other_json_is_refused() -> None:
    with pytest.raises(UsageError, match=r"forkpoint\.audit/1"):
        audit_from_json(b"{}")


def test_the_page_escapes_names_and_loads_nothing(tmp_path: Path) -> None:
    page = write_audit_page(full(), tmp_path / "a" / "page.html").read_text()
    assert "&lt;b&gt;|x" in page
    assert "<b>|x" not in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_nothing_tried_is_said() -> None:
    assert "Nothing could be tried" in audit_to_markdown(audit(trial("run", "unmatched")))
