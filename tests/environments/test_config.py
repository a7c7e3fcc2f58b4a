from __future__ import annotations

import os
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from forkpoint.environments import Config, EnvironmentSpec, load_config, parse_size
from forkpoint.errors import UsageError

WHOLE = """
with = ["transformers==4.57.6"]
tolerance = "bnb"
max-storage = "20GB"
max-cache = 1024
timeout = 90

[environments]
old = "torch==2.9.1 threads=1"

[environments.new]
requirements = ["torch==2.10.0", "./pkg"]
python = "3.11"
variables = { OMP_NUM_THREADS = "1" }
settings = { threads = 2, tf32 = false }
"""


def expected(path: Path) -> Config:
    return Config(
        path=path,
        environments={
            "old": EnvironmentSpec(
                name="old", requirements=("torch==2.9.1",), settings={"threads": "1"}
            ),
            "new": EnvironmentSpec(
                name="new",
                requirements=("torch==2.10.0", str(path.parent / "pkg")),
                python="3.11",
                variables={"OMP_NUM_THREADS": "1"},
                settings={"threads": "2", "tf32": "off"},
            ),
        },
        with_requirements=("transformers==4.57.6",),
        tolerance="bnb",
        max_storage=20_000_000_000,
        max_cache=1024,
        timeout=90.0,
    )


def test_a_file_of_its_own_above_the_start(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "forkpoint.toml").write_text(WHOLE)
    assert load_config(tmp_path / "pkg") == expected(tmp_path / "forkpoint.toml")


def test_a_table_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    text = WHOLE.replace("[environments", "[tool.forkpoint.environments")
    (tmp_path / "pyproject.toml").write_text("[tool.forkpoint]\n" + text)
    assert load_config(tmp_path) == expected(tmp_path / "pyproject.toml")


def test_a_pyproject_without_the_table_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "forkpoint.toml").write_text("timeout = 1")
    assert load_config(tmp_path / "sub").path == tmp_path / "forkpoint.toml"


def test_nothing_found_is_an_empty_config(tmp_path: Path) -> None:
    assert load_config(tmp_path) == Config()


@pytest.mark.parametrize(
    "text",
    [
        "max_cache = 1",
        "colour = 1",
        "with = 'torch'",
        "with = ['torch=1']",
        "max-cache = 'much'",
        "max-storage = -1",
        "timeout = 'soon'",
        "a ==",
        "[environments]\nnew = 3",
        "[environments]\nnew = 'thread=1'",
        "[environments.new]\nrequirement = ['a']",
        "[environments.new]\nrequirements = [1]",
        "[environments.new]\nsettings = {thread = 1}",
        "[environments.new]\nvariables = {A = 1}",
        "[environments.new]\nvariables = {a = '1'}",
        "[environments.new]\npython = '/nowhere'",
        "[environments.'a b']\npython = '3.11'",
    ],
)
def test_errors_name_the_file_and_the_key(
    tmp_path: Path, text: str, snapshot: SnapshotAssertion
) -> None:
    path = tmp_path / "forkpoint.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(tmp_path)
    assert str(path) in caught.value.message
    said = f"{caught.value.message}\n{caught.value.hint}"
    assert said.replace(str(tmp_path), "DIR") == snapshot


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1k", 1000), ("1 KiB", 1024), ("1.5GB", 1_500_000_000), ("2TiB", 2 << 40), (7, 7)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1XB", "-1", "1e3", -1])
def test_what_is_no_size(text: str | int) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    "text",
    [
        "with = " + "[" * 100_000 + "]" * 100_000,
        "x = " + "{a=" * 50_000 + "1" + "}" * 50_000,
        "a" + ".a" * 400_000 + " = 1",
        "[" + '"a".' * 100_000 + "b]",
        "timeout = " + "9" * 10_000,
        "max-cache = 0x" + "f" * 200_000,
        "timeout = -1",
        "timeout = nan",
        "timeout = inf",
        "max-storage = '99999999TB'",
        "#" * (2 << 20),
        '[environments]\nnew = { requirements = ["https://host/a.whl\\nb==1"] }',
        "with = ['-r /etc/passwd']",
        "[environments.new]\nrequirements = ['torch']\nsettings = { threads = 100000 }",
        "\ufeffwith = 1",
    ],
    ids=range(15),
)
def test_absurd_files_are_refused_at_once_and_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "forkpoint.toml").write_text(text)
    with pytest.raises(UsageError, match=r"forkpoint\.toml"):
        load_config(tmp_path)


@pytest.mark.parametrize("name", ["forkpoint.toml", "pyproject.toml"])
def test_a_project_file_is_a_regular_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=rf"{name} is a pipe"):
        load_config(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=rf"{name} is a device"):
        load_config(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()  # somebody's folder is nobody's settings
    assert load_config(tmp_path).environments == {}


def test_a_link_to_settings_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("timeout = 5")
    (tmp_path / "forkpoint.toml").symlink_to("real.toml")
    assert load_config(tmp_path).timeout == 5
