from __future__ import annotations

import pytest

from forkpoint.environments.uv import index_settings, reason, uv_environment

NEW = """\
Using CPython 3.11.7 interpreter at: /usr/bin/python3.11
Downloading torch (858.1MiB)
error: No solution found when resolving dependencies
  cause: Because there is no version of torch==99 and you require torch==99, we can conclude that
         your requirements are unsatisfiable.
"""
OLD = """\
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because there is no version of torch==99 and you require torch==99, we can conclude that
      your requirements are unsatisfiable.
"""
PARAGRAPH = (
    "No solution found when resolving dependencies: Because there is no version of torch==99 and "
    "you require torch==99, we can conclude that your requirements are unsatisfiable."
)


@pytest.mark.parametrize("text", [NEW, OLD])
def test_the_reason_is_one_paragraph_without_noise(text: str) -> None:
    assert reason(text, 1) == PARAGRAPH


def test_a_long_reason_keeps_both_ends() -> None:
    text = reason("error: first\n" + "word " * 10_000 + "\nlast", 1)
    assert text.startswith("first")
    assert text.endswith("last")
    assert len(text) < 1600


def test_silence_is_said() -> None:
    assert reason("Resolved 3 packages in 1s\n", -9) == "uv ended with status -9 and said nothing"


def test_index_settings_of_pip_count_where_uv_has_none() -> None:
    pip = {"PIP_INDEX_URL": "https://a/simple", "PIP_FIND_LINKS": "/a /b"}
    assert index_settings(pip) == {"UV_DEFAULT_INDEX": "https://a/simple", "UV_FIND_LINKS": "/a,/b"}
    for own in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        assert index_settings({**pip, own: "https://b"})[own] == "https://b"
        assert "https://a/simple" not in index_settings({**pip, own: "https://b"}).values()


def test_nothing_points_uv_elsewhere() -> None:
    env = uv_environment({"VIRTUAL_ENV": "/venv", "UV_PYTHON": "3.8", "HOME": "/home/me"})
    assert env["HOME"] == "/home/me"
    assert not {"VIRTUAL_ENV", "UV_PYTHON"} & env.keys()
