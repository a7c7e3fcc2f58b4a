"""A package whose number changes from release to release, built by the real uv."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from forkpoint import process
from forkpoint.bisect import Answer, Bench, Results, RowKey, Size
from forkpoint.environments import Environment, EnvironmentSpec
from forkpoint.errors import ScriptFailed

BITS = {"1.0": "x", "1.1": "x", "1.2": "y", "1.3": "x", "1.4": "z"}


def make_wheel(folder: Path, version: str, code: str, tags: str = "py3-none-any") -> None:
    with zipfile.ZipFile(folder / f"tinyop-{version}-{tags}.whl", "w") as archive:
        archive.writestr("tinyop.py", code)
        info = f"tinyop-{version}.dist-info"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinyop\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tags}\n")
        archive.writestr(f"{info}/RECORD", "")


class Printed:
    """A subject: what the package prints, in a process of its own."""

    title = "tinyop"
    name = "tinyop"
    keeps = False

    def __init__(self) -> None:
        self.measured: list[str] = []

    def complete(self, answers: Mapping[str, Answer]) -> bool:
        return "value" in answers

    def measure(self, environment: Environment, place: object, control: Path) -> dict[str, Answer]:
        done = process.run(
            [str(environment.python), "-I", "-c", "import tinyop; print(tinyop.VALUE)"],
            logs=control,
            env={**os.environ, **environment.variables},
        )
        if done.returncode:
            raise ScriptFailed(f"{environment.name}: {done.tail(1)}")
        self.measured.append(environment.name)
        return {"value": Answer(status="ran", digests=(done.stdout.read_text().strip(),))}

    def sizes(
        self, environment: Environment, pair: object, items: Sequence[str], control: Path
    ) -> dict[str, Size]:
        return {}

    def row(self, item: str) -> RowKey | None:
        return RowKey(name=item, op="", dtype="", shapes=())


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of releases, and uv (and we) look nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version, bits in BITS.items():
        make_wheel(folder, version, f"VALUE = {bits!r}\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(**more: Any) -> Bench:
        fields = {"root": tmp_path / "cache", "base": EnvironmentSpec(name="base"), **more}
        return Bench(package="tinyop", torch_backend="index", **fields)

    return make


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")
