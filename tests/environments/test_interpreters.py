from __future__ import annotations

import sys
from pathlib import Path

import pytest

from forkpoint.environments import Interpreter, find_interpreters
from forkpoint.environments.interpreters import choose_interpreter, interpreter_at
from forkpoint.errors import EnvironmentFailed

RUNNING = sys.version_info[:3]


def some(*versions: str) -> list[Interpreter]:
    return [
        Interpreter((int(a), int(b), int(c)), Path(f"/python{a}.{b}.{c}"))
        for a, b, c in (version.split(".") for version in versions)
    ]


def test_the_running_interpreter_is_found() -> None:
    found = find_interpreters()
    assert Interpreter(RUNNING, Path(sys.executable).resolve()) in found
    assert all(one.version >= (3, 8) and one.path.is_absolute() for one in found)
    assert list(found) == sorted(set(found))


def test_shims_and_folders_are_not_taken_for_interpreters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.10"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    (tmp_path / "python3.9").mkdir()
    (tmp_path / "python3").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    assert not [one for one in find_interpreters() if tmp_path in one.path.parents]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}'])
def test_a_damaged_memo_is_written_anew(tmp_path: Path, content: bytes) -> None:
    memo = tmp_path / "memo.json"
    memo.write_bytes(content)
    found = find_interpreters(memo)
    assert found == find_interpreters()
    written = memo.read_bytes()
    assert find_interpreters(memo) == found
    assert memo.read_bytes() == written


@pytest.mark.parametrize(
    ("python", "requirements", "expected"),
    [
        ("3.12", [], "3.12.1"),
        ("3.11.2", [], "3.11.2"),
        (None, ["torch==2.0.1"], "3.11.7"),
        (None, ["transformers"], "3.11.7"),
    ],
)
def test_the_choice(python: str | None, requirements: list[str], expected: str) -> None:
    found = some("3.8.18", "3.11.2", "3.11.7", "3.12.1", "3.13.0")
    assert choose_interpreter(python, requirements, found).release == expected


def test_without_3_11_a_python_that_has_wheels_is_taken() -> None:
    found = some("3.8.18", "3.9.18", "3.13.0")
    assert choose_interpreter(None, ["torch==2.0.1"], found).release == "3.9.18"
    assert choose_interpreter(None, ["torch==2.4.1"], found).release == "3.9.18"
    assert choose_interpreter(None, ["torch==2.9.1"], found).release == "3.13.0"


@pytest.mark.parametrize(("python", "requirements"), [("3.9", []), (None, ["torch==2.0.1"])])
def test_what_was_found_is_said(python: str | None, requirements: list[str]) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        choose_interpreter(python, requirements, some("3.13.0"))
    assert "Found: 3.13.0 (/python3.13.0)" in caught.value.message
    assert "python=" in caught.value.hint


def test_an_interpreter_by_its_path(tmp_path: Path) -> None:
    real = Path(sys.executable).resolve()
    assert interpreter_at(real).version == RUNNING
    for wrong in (Path("/bin/true"), tmp_path, tmp_path / "none"):
        with pytest.raises(EnvironmentFailed, match="is not a Python that can be used"):
            interpreter_at(wrong)
