"""Results: standard output is the result alone, and the exit status tells the verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from forkpoint.report import json_schema
from tests.cli.recordings import write_chain, write_recording
from tests.support.cli import forkpoint_cli, started_cli


@pytest.mark.parametrize(
    ("value", "words", "verdict", "status"),
    [
        (0.5, [], "identical", 0),
        (0.5000001, [], "within_tolerance", 0),
        (0.5000001, ["--tolerance", "bitwise"], "divergent", 1),
        (0.75, [], "divergent", 1),
        (0.75, ["--atol", "1"], "within_tolerance", 0),
    ],
)
def test_the_exit_status_tells_the_verdict(
    tmp_path: Path, value: float, words: list[str], verdict: str, status: int
) -> None:
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", value)
    ended = forkpoint_cli("diff", "a", "b", "--format", "json", *words, cwd=tmp_path)
    found = json.loads(ended.out)
    jsonschema.validate(found, json_schema())
    assert (found["verdict"], ended.status) == (verdict, status)
    assert ended.err == ""


@pytest.mark.parametrize(
    ("value", "verdict", "status"), [(0.5000001, "within_tolerance", 0), (0.75, "divergent", 1)]
)
def test_chained_models_end_as_their_outputs_do(
    tmp_path: Path, value: float, verdict: str, status: int
) -> None:
    """They once ended with status 2 even where every output was within the tolerance."""
    write_chain(tmp_path / "a")
    write_chain(tmp_path / "b", value)
    ended = forkpoint_cli("diff", "a", "b", "--format", "json", cwd=tmp_path)
    found = json.loads(ended.out)
    jsonschema.validate(found, json_schema())
    assert (found["verdict"], ended.status) == (verdict, status)
    assert [step["chained"] for step in found["steps"]] == [False, True]
    assert found["steps"][1]["fork"] is None


def test_an_incomplete_run_is_inconclusive(tmp_path: Path) -> None:
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", complete=False)
    ended = forkpoint_cli("diff", "a", "b", "--format", "json", cwd=tmp_path)
    assert (json.loads(ended.out)["verdict"], ended.status) == ("incomplete", 2)


def test_every_format_and_the_html_report(tmp_path: Path) -> None:
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", 0.75)
    text = forkpoint_cli("diff", "a", "b", cwd=tmp_path)
    assert text.out.startswith("divergent")
    markdown = forkpoint_cli("report", "a", "b", "--format", "markdown", cwd=tmp_path)
    assert "divergent" in markdown.out
    html = forkpoint_cli("report", "a", "b", "--html", "out.html", "--quiet", cwd=tmp_path)
    assert html.err == ""
    assert "<html" in (tmp_path / "out.html").read_text()


def test_a_saved_result_is_reported_again(tmp_path: Path) -> None:
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", 0.75)
    first = forkpoint_cli("diff", "a", "b", "--format", "json", cwd=tmp_path)
    (tmp_path / "comparison.json").write_text(first.out)
    for place in ("comparison.json", "."):
        again = forkpoint_cli("report", place, "--format", "json", cwd=tmp_path)
        assert (again.out, again.status) == (first.out, 1)


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", 0.75)
    with started_cli("diff", "a", "b", cwd=tmp_path) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_the_projects_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "forkpoint.toml").write_text('tolerance = "bitwise"\n')
    write_recording(tmp_path / "a")
    write_recording(tmp_path / "b", 0.5000001)
    assert forkpoint_cli("diff", "a", "b", cwd=tmp_path).status == 1
    assert forkpoint_cli("diff", "a", "b", "--tolerance", "torch", cwd=tmp_path).status == 0


def test_an_empty_cache_is_listed(tmp_path: Path) -> None:
    cache = {"FORKPOINT_CACHE_DIR": str(tmp_path / "cache")}
    text = forkpoint_cli("env", "list", cwd=tmp_path, **cache)
    assert text.out == f"No environment is built yet; they go to {tmp_path / 'cache'}\n"
    assert (
        json.loads(forkpoint_cli("env", "list", "--format", "json", cwd=tmp_path, **cache).out)
        == []
    )
    assert forkpoint_cli("env", "prune", cwd=tmp_path, **cache).status == 0


def test_the_doctor_looks_at_everything(tmp_path: Path) -> None:
    ended = forkpoint_cli(
        "doctor", "--format", "json", cwd=tmp_path, FORKPOINT_CACHE_DIR=str(tmp_path)
    )
    names = {finding["name"] for finding in json.loads(ended.out)}
    assert {"forkpoint", "uv", "python", "cache", "disk", "gpu"} <= names
    assert ended.status in (0, 2)


def test_the_doctor_names_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = forkpoint_cli("doctor", cwd=tmp_path, FORKPOINT_CACHE_DIR=str(tmp_path / "file" / "x"))
    assert ended.status == 2
    assert "bad   cache" in ended.out
    assert "FORKPOINT_CACHE_DIR" in ended.out


def test_the_host_works_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import forkpoint, forkpoint.cli\n"
        "assert set(forkpoint.__all__) <= set(dir(forkpoint))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_folders_of_files_get_a_page_of_their_own(tmp_path: Path) -> None:
    for side in ("one", "two"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "result.json").write_text(f'{{"side": "{side}"}}')
    found = forkpoint_cli("diff", "one", "two", "--html", "files.html", cwd=tmp_path)
    assert found.status == 1
    assert "files.html" in found.err
    page = (tmp_path / "files.html").read_text()
    assert "result.json" in page
    assert "1 file: 1 divergent." in page
