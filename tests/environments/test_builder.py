"""`build` against the real uv; what needs an index is marked as an integration test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkpoint import process
from forkpoint.environments import (
    Environment,
    EnvironmentCache,
    EnvironmentSpec,
    build,
    parse_spec,
    torch_backend,
)
from forkpoint.errors import EnvironmentFailed, UsageError

TINY = "packaging==24.0"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EnvironmentCache]:
    with EnvironmentCache(tmp_path / "cache") as opened:
        yield opened
    opened.prune()  # where uv copies, an environment with torch is 5 GB of the disk


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that needs no index."""
    name = tmp_path / "tinything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr("tinything.py", "VALUE = 1\n")
        info = "tinything-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return name


def uv_must_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*argv: object, **_: object) -> None:
        raise AssertionError(f"started {argv}")

    monkeypatch.setattr(process, "run", started)


def test_a_local_wheel_is_built_once_and_then_reused(
    cache: EnvironmentCache, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    spec = parse_spec(f"old={wheel} OMP_NUM_THREADS=1 threads=2")
    first = build(spec, cache=cache, progress=said.append)
    assert first.lock == (f"tinything @ file://{wheel}",)
    assert first.packages == {"tinything": f"file://{wheel}"}
    assert (first.variables, first.settings) == ({"OMP_NUM_THREADS": "1"}, {"threads": "2"})
    assert any(line.startswith("Building old with Python 3.") for line in said)
    code = "import tinything, sys; print(tinything.VALUE, sys.prefix)"
    done = process.run([str(first.python), "-I", "-c", code], logs=cache.root / "logs")
    assert done.stdout.read_text().split() == ["1", str(first.python.parent.parent)]

    uv_must_not_run(monkeypatch)
    assert build(spec, cache=cache) == first
    other = build(parse_spec(f"new={wheel}"), cache=cache)
    assert (other.key, other.python) == (first.key, first.python)
    (entry,) = cache.entries()
    assert entry.names == ("old", "new")
    assert entry.in_use


def test_an_edited_local_requirement_is_built_again(cache: EnvironmentCache, wheel: Path) -> None:
    spec = parse_spec(f"old={wheel}")
    first = build(spec, cache=cache)
    os.utime(wheel, (1, 1))
    assert build(spec, cache=cache).key != first.key


def test_the_least_recently_used_goes_before_a_build(tmp_path: Path, wheel: Path) -> None:
    said: list[str] = []
    with EnvironmentCache(tmp_path / "cache") as cache:
        first = build(parse_spec(f"old={wheel}"), cache=cache)
    os.utime(wheel, (1, 1))
    with EnvironmentCache(tmp_path / "cache", max_bytes=1) as cache:
        second = build(parse_spec(f"new={wheel}"), cache=cache, progress=said.append)
        assert [entry.key for entry in cache.entries()] == [second.key]
    assert not first.python.exists()
    assert "Removed the environment old to make room" in said


def test_two_processes_build_one_entry_together(cache: EnvironmentCache, wheel: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from forkpoint.environments import EnvironmentCache, build, parse_spec\n"
        "cache = EnvironmentCache(Path(sys.argv[1]))\n"
        "print(build(parse_spec(sys.argv[2]), cache=cache).python)"
    )
    argv = [sys.executable, "-c", code, str(cache.root), f"old={wheel}"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    pythons = {one.communicate()[0].strip() for one in both}
    assert [one.returncode for one in both] == [0, 0]
    assert len(pythons) == 1
    (entry,) = cache.entries()
    assert entry.built is not None
    assert [path.name for path in entry.path.iterdir() if (path / "bin").exists()] == [
        entry.built.token
    ]


def test_a_build_that_was_killed_is_done_again(cache: EnvironmentCache, wheel: Path) -> None:
    """The builder kills itself at uv's first word, so the entry is there and half-built."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from forkpoint.environments import EnvironmentCache, build, parse_spec\n"
        "def die(line):\n"
        "    if line.startswith(('Resolved', 'Prepared', 'Installed')):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "cache = EnvironmentCache(Path(sys.argv[1]))\n"
        "build(parse_spec(sys.argv[2]), cache=cache, progress=die)"
    )
    argv = [sys.executable, "-c", code, str(cache.root), f"old={wheel}"]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    (half,) = cache.entries()
    assert half.built is None
    built = build(parse_spec(f"old={wheel}"), cache=cache)
    assert built.key == half.key
    (entry,) = cache.entries()
    assert entry.built is not None


def test_ctrl_c_leaves_a_half_built_entry(cache: EnvironmentCache, wheel: Path) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("Resolved"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(parse_spec(f"old={wheel}"), cache=cache, progress=interrupt)
    assert [entry.built for entry in cache.entries()] == [None]
    assert build(parse_spec(f"old={wheel}"), cache=cache).python.exists()


def test_nothing_to_build_is_said(cache: EnvironmentCache) -> None:
    for text in ("old=", "old=threads=1", "old=python=3.11"):
        with pytest.raises(UsageError, match="names nothing to install"):
            build(parse_spec(text), cache=cache)


def test_an_unknown_backend_is_said(cache: EnvironmentCache) -> None:
    with pytest.raises(UsageError, match="'gpu' is not known"):
        build(parse_spec(f"old={TINY}"), cache=cache, torch_backend="gpu")


def test_an_index_out_of_reach_is_said(
    cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentFailed, match="ailed to fetch") as caught:
        build(parse_spec("old=not-in-any-cache==1"), cache=cache, torch_backend="index")
    assert "UV_DEFAULT_INDEX" in caught.value.hint
    assert cache.entries() == []


def plain_venv(folder: Path, torch: str | None) -> Path:
    venv.create(folder, with_pip=False)
    if torch is not None:
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "torch.py").write_text(torch)
    return folder


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        (None, "cannot import torch: ModuleNotFoundError"),
        ("raise OSError('libcudart.so.12: cannot open')", "OSError: libcudart.so.12"),
        ("import os; os.kill(os.getpid(), 11)", "ended with -11"),
    ],
)
def test_an_existing_environment_without_a_working_torch(
    cache: EnvironmentCache, tmp_path: Path, torch: str | None, words: str
) -> None:
    folder = plain_venv(tmp_path / "venv", torch)
    with pytest.raises(EnvironmentFailed, match=words) as caught:
        build(parse_spec(f"old=python={folder}"), cache=cache)
    assert str(folder / "bin" / "python") in caught.value.message
    assert caught.value.hint


def test_an_existing_environment_is_used_and_not_changed(
    cache: EnvironmentCache, tmp_path: Path
) -> None:
    folder = plain_venv(tmp_path / "venv", "")
    before = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    found = build(parse_spec(f"old=python={folder} threads=1"), cache=cache)
    assert found.python == folder / "bin" / "python"
    assert found.lock == ()
    assert found.settings == {"threads": "1"}
    after = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    assert after == before
    assert cache.entries() == []


@pytest.mark.parametrize("broken", ["folder", "dangling", "text"])
def test_an_existing_environment_that_is_none(
    cache: EnvironmentCache, tmp_path: Path, broken: str
) -> None:
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    python = folder / "bin" / "python"
    if broken == "dangling":
        python.symlink_to("/nowhere/python3")
    elif broken == "text":
        python.write_text("not a program")
        python.chmod(0o755)
    with pytest.raises(EnvironmentFailed, match=r"has no interpreter|does not start"):
        build(parse_spec(f"old=python={folder}"), cache=cache)


def test_what_a_fingerprint_gets() -> None:
    spec = EnvironmentSpec(name="a", variables={"A": "1"}, settings={"tf32": "off"})
    lock = ("pkg @ file:///x.whl", "torch==2.9.1")
    environment = Environment(
        name="a",
        spec=spec,
        python=Path("/python"),
        key="k",
        lock=lock,
        variables=spec.variables,
        settings=spec.settings,
    )
    assert environment.describe() == {
        "package.pkg": "file:///x.whl",
        "package.torch": "2.9.1",
        "variable.A": "1",
        "setting.tf32": "off",
    }


@pytest.mark.integration
def test_a_requirement_from_the_index_twice(
    cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(parse_spec(f"old={TINY}"), cache=cache)
    assert first.lock == (TINY,)
    uv_must_not_run(monkeypatch)
    assert build(parse_spec(f"old={TINY}"), cache=cache) == first


@pytest.mark.integration
def test_an_impossible_requirement_gives_uvs_reason(cache: EnvironmentCache) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        build(parse_spec("old=torch==99"), cache=cache)
    assert "no version of torch==99" in caught.value.message
    assert "\n" not in caught.value.message
    assert cache.entries() == []


@pytest.mark.integration
def test_cpu_wheels_or_the_configured_index_with_a_line_that_says_so(
    cache: EnvironmentCache,
) -> None:
    environment = build(parse_spec("old=torch==2.9.1"), cache=cache)
    version = environment.packages["torch"]
    said = torch_backend.OUT_OF_REACH_NOTE in environment.notes
    if torch_backend.prefers_cpu("auto"):
        assert said == (version == "2.9.1")
        assert version in ("2.9.1", "2.9.1+cpu")
    else:
        assert not said
    code = "import torch; print(torch.__version__)"
    done = process.run([str(environment.python), "-I", "-c", code], logs=cache.root / "logs")
    assert done.stdout.read_text().startswith("2.9.1")


@pytest.mark.integration
def test_an_old_torch_gets_a_numpy_that_it_works_with(cache: EnvironmentCache) -> None:
    environment = build(parse_spec("old=torch==2.0.1 transformers==4.30.2"), cache=cache)
    assert environment.packages["numpy"].startswith("1.")
    assert any("numpy<2" in note for note in environment.notes)
