"""Interpreters that do not start: real programs, no torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkpoint.environments import Environment, EnvironmentSpec
from forkpoint.errors import EnvironmentFailed
from forkpoint.host import Job, run_job


def environment(python: Path) -> Environment:
    spec = EnvironmentSpec(name="odd", python="3.11")
    return Environment(name="odd", spec=spec, python=python, key="", lock=())


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"odd: .*/gone/python cannot be started"):
        run_job(environment(tmp_path / "gone" / "python"), Job(), control=tmp_path / "control")


def test_a_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("hello")
    with pytest.raises(EnvironmentFailed, match="cannot be started"):
        run_job(environment(tmp_path / "python"), Job(), control=tmp_path / "control")


def test_a_broken_interpreter_shows_its_own_words(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'libpython is gone' >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(EnvironmentFailed, match="libpython is gone") as caught:
        run_job(environment(broken), Job(), control=tmp_path / "control")
    assert "exit status 127" in caught.value.message
    assert str(broken) in caught.value.hint
