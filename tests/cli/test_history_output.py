"""What is printed and written of histories and bisections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forkpoint.cli._history_output import write_bisection, write_history
from forkpoint.report import history as show
from tests.report.test_history import bisection, calls


def chosen(folder: Path, form: str) -> dict[str, Any]:
    return {"form": form, "html": folder / "page.html", "out": folder / "out.json", "quiet": True}


def test_a_history_goes_where_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write_history(calls(), chosen(tmp_path, "markdown")) == 1
    assert capsys.readouterr().out == show.to_markdown(calls())
    assert (tmp_path / "out.json").read_bytes() == show.to_json(calls())
    assert "<!doctype html>" in (tmp_path / "page.html").read_text().lower()


def test_a_bisection_goes_where_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("json", "markdown", "text"):
        assert write_bisection(bisection(), chosen(tmp_path, form)) == 1
        printed = capsys.readouterr().out
        assert bisection().first_bad in printed
        if form == "json":
            assert json.loads(printed)["schema"] == "forkpoint.bisect/1"
    assert (tmp_path / "out.json").read_bytes() == show.to_json(bisection())
