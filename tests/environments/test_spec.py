from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from forkpoint.environments import (
    EnvironmentSpec,
    parse_requirement,
    parse_spec,
    with_requirements,
)
from forkpoint.errors import UsageError
from forkpoint_worker.settings import CHOICES

REQUIREMENTS = st.sampled_from(
    [
        "torch==2.1.2",
        "torch>=2,<3",
        "numpy<2",
        "torch~=2.0",
        "transformers[sentencepiece]==4.57.6",
        "torch==2.4.1; python_version < '3.12'",
        'x; sys_platform == "linux" and extra == "a b"',
        "pkg @ https://example.org/a%20b/pkg-1.0-py3-none-any.whl#sha256=00",
        "git+https://example.org/repo.git@v1#subdirectory=a",
        "/",
        "PyYAML==6.0",
    ]
)
SETTINGS = st.dictionaries(st.sampled_from(sorted(CHOICES)), st.none()).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: st.sampled_from(CHOICES[name]) if CHOICES[name] else st.integers(1, 512).map(str)
            for name in names
        }
    )
)
VARIABLES = st.dictionaries(
    st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(
        lambda value: not value.startswith("=")
    ),
)


@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
    requirements=st.lists(REQUIREMENTS, unique=True),
    python=st.sampled_from([None, "3.11", "3.12.1", str(Path(sys.executable).resolve())]),
    variables=VARIABLES,
    settings=SETTINGS,
)
def test_text_reads_back_to_an_equal_spec(
    name: str,
    requirements: list[str],
    python: str | None,
    variables: dict[str, str],
    settings: dict[str, str],
) -> None:
    tokens = EnvironmentSpec(name=name, variables=variables, settings=settings).text
    spec = with_requirements(parse_spec(f"{name}={tokens}"), requirements)
    spec = EnvironmentSpec(
        name=name,
        requirements=spec.requirements,
        python=python,
        variables=variables,
        settings=settings,
    )
    again = parse_spec(f"{name}={spec.text}")
    assert again == spec
    assert again.text == spec.text
    assert len(spec.requirements) == len(requirements)


@given(st.text(max_size=40))
@example("~0")
def test_any_text_is_a_spec_or_a_usage_error(text: str) -> None:
    try:
        spec = parse_spec(f"x={text}")
    except UsageError as error:
        assert error.message
        assert error.hint
    else:
        assert parse_spec(f"x={spec.text}") == spec


def test_every_kind_of_token() -> None:
    spec = parse_spec(
        "old=torch==2.1.2 python=3.11 OMP_NUM_THREADS=1 tf32=off 'A=b c=d' threads=02"
    )
    assert spec == EnvironmentSpec(
        name="old",
        requirements=("torch==2.1.2",),
        python="3.11",
        variables={"OMP_NUM_THREADS": "1", "A": "b c=d"},
        settings={"tf32": "off", "threads": "2"},
    )


def test_paths_are_relative_to_the_base(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "venv").mkdir()
    spec = parse_spec("a=./pkg", base=tmp_path)
    assert spec.requirements == (str(tmp_path / "pkg"),)
    assert parse_spec("a=python=./x/../venv", base=tmp_path).python == str(tmp_path / "venv")


@pytest.mark.parametrize(
    "text",
    [
        "torch==2.1",
        "=torch==2.1",
        "a b=torch==2.1",
        "old=torch=2.1",
        "old=thread=1",
        "old=threads=0",
        "old=threads=many",
        "old=tf32=of",
        "old=device=tpu",
        "old=Unknown=x",
        "old=threads=1 threads=2",
        "old=python=3.11 python=3.12",
        "old=python=three",
        "old=python=/nowhere/at/all",
        "old=./nowhere.whl",
        "old=torch=>2",
        "old='torch",
        "old=!",
        "old=~nobody-of-that-name/pkg",
    ],
)
def test_what_cannot_be_is_said(
    text: str, snapshot: SnapshotAssertion, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text, base=Path("/base"))
    assert f"{caught.value.message}\n{caught.value.hint}" == snapshot


def test_nothing_is_installed_into_an_existing_environment(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    (tmp_path / "pyvenv.cfg").touch()
    for python in (tmp_path, tmp_path / "bin" / "python"):
        existing = parse_spec(f"old=python={python}")
        assert existing.venv == tmp_path
        for ask in (
            lambda python=python: parse_spec(f"old=python={python} torch==2.1"),
            lambda existing=existing: with_requirements(existing, ["torch==2.1"]),
        ):
            with pytest.raises(UsageError, match="installs nothing into it"):
                ask()


@pytest.mark.parametrize("bad", [{"variables": {"a": "1"}}, {"variables": {"A": "=1"}}])
def test_a_spec_checks_itself(bad: dict[str, dict[str, str]]) -> None:
    with pytest.raises(UsageError):
        EnvironmentSpec(name="a", **bad)  # type: ignore[arg-type]


def test_a_path_too_long_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be used as a path"):
        parse_spec(f"old=python=/{'x' * 5000}")


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a-1.0.whl\nother==1.0",
        "https://host/a-1.0.whl\rother==1.0",
        "https://host/a-1.0.whl\x0bother==1.0",
        "https://host/a-1.0.whl\u2028other==1.0",
        "a @ https://host/a-1.0.whl\x85other==1.0",
        "https://host/a-1.0.whl\0",
        "-r https://host/more.txt",
        " --index-url https://host/simple",
        "https://host/a-1.0.whl --index-url https://host/simple",
        "https://host/a-1.0.whl \\",
        "https://host/a-1.0.whl # and more",
        "https://host/" + "a" * 3000 + ".whl",
        "",
    ],
)
def test_a_requirement_is_one_line_and_no_option(text: str) -> None:
    with pytest.raises(UsageError):
        parse_requirement(text)
    with pytest.raises(UsageError):
        EnvironmentSpec(name="one", requirements=(text,))


@pytest.mark.parametrize("setting", ["threads", "interop_threads"])
@pytest.mark.parametrize("value", ["1025", "100000", "0", "9" * 30, "1" * 5000, "\u0661", "1e3"])
def test_a_number_of_threads_that_no_machine_has_is_refused(setting: str, value: str) -> None:
    with pytest.raises(UsageError, match=setting):
        parse_spec(f"one={setting}={value}")
    assert parse_spec(f"one={setting}=1024").settings == {setting: "1024"}


@pytest.mark.parametrize("name", ["a/b", "../up", "a" * 200, "", ".hidden", "a\nb", "-q"])
def test_names_that_cannot_be_names_of_folders_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        parse_spec(f"{name}=torch==2.10.0")
