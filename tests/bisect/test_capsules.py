"""What capsules recorded, as an answer: which releases it is of, and where it counts."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from forkpoint.bisect import capsule_subject, machine, recorded

HERE = {
    "torch.version": "2.9.1+cu128",
    "python.version": "3.11.7",
    "cpu.count": str(os.cpu_count()),
    "cpu.model": machine().get("processor", ""),
    "cpu.capability": "AVX512" if "avx512dq" in machine().get("features", "") else "AVX2",
    "system.platform": f"Linux-6.1-{platform.machine()}-with-" + "".join(platform.libc_ver()),
    **{f"variable.{name}": value for name, value in machine().items() if name.isupper()},
}


def write(folder: Path, *, bits: str = "0" * 16, device: str = "cpu", **changes: str) -> Path:
    """A capsule of one call with the same inputs each time."""
    folder.mkdir(parents=True)
    tensor = {"dtype": "float32", "shape": [2], "device": device}
    content: dict[str, Any] = {
        "format": "forkpoint.capsule/1",
        "call": {"op": "aten.relu.default", "tensors": [tensor]},
        "outputs": [{"slot": 0, "digest": bits}],
        "fingerprint": {**HERE, **{key.replace("_", "."): value for key, value in changes.items()}},
    }
    (folder / "capsule.json").write_text(json.dumps(content))
    (folder / "tensors.safetensors").write_bytes(b"the same inputs")
    (folder / "outputs.safetensors").write_bytes(bits.encode())
    return folder


def compared(results: Path, confirmed: str) -> tuple[Path, Path]:
    """Capsules of both sides, in the folder of their comparison."""
    place = results / "capsules" / "01-relu"
    old = write(place / "old", bits="a" * 16)
    new = write(place / "new", bits="b" * 16, torch_version="2.10.0+cu128")
    origin = {"op": "aten.relu.default", "capsule": "capsules/01-relu/old", "confirmed": confirmed}
    (results / "comparison.json").write_text(json.dumps({"origins": [origin]}))
    return old, new


def versions(folder: Path) -> list[str]:
    return [str(one.version) for one in recorded(capsule_subject([folder]))]


def test_a_capsule_is_the_answer_of_its_release(tmp_path: Path) -> None:
    (found,) = recorded(capsule_subject([write(tmp_path / "one")]))
    assert (found.version, found.confirmed) == (Version("2.9.1"), False)
    assert found.obstacle(python=(3, 11), cpu_builds=False) is None


def test_a_confirmed_comparison_answers_for_both_of_its_releases(tmp_path: Path) -> None:
    for capsule in compared(tmp_path, "replay"):
        assert versions(capsule) == ["2.9.1", "2.10.0"]
        assert all(one.confirmed for one in recorded(capsule_subject([capsule])))


def test_an_origin_that_only_its_script_shows_answers_for_nothing_else(tmp_path: Path) -> None:
    old, _ = compared(tmp_path, "in_place")
    (found,) = recorded(capsule_subject([old]))
    assert not found.confirmed


@pytest.mark.parametrize("damage", ["outputs", "inputs", "json", "release"])
def test_a_neighbour_that_is_of_another_call_is_left_alone(tmp_path: Path, damage: str) -> None:
    old, new = compared(tmp_path, "replay")
    path = new / "capsule.json"
    content = json.loads(path.read_text())
    if damage == "outputs":
        content["outputs"][0]["slot"] = 1
    elif damage == "inputs":
        (new / "tensors.safetensors").write_bytes(b"others")
    elif damage == "release":
        content["fingerprint"]["torch.version"] = "of my own"
    path.write_text("{" if damage == "json" else json.dumps(content))
    assert versions(old) == ["2.9.1"]


def test_capsules_of_two_releases_are_the_answer_of_none(tmp_path: Path) -> None:
    one = write(tmp_path / "one")
    two = write(tmp_path / "two", bits="c" * 16, torch_version="2.10.0")
    assert recorded(capsule_subject([one, two])) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpu_model": "Another one"}, "on another processor (Another one)"),
        ({"cpu_capability": "DEFAULT" if "AVX512" in HERE.values() else "AVX512"}, "features"),
        ({"cpu_count": "999"}, "another number of processors"),
        ({"system_platform": "Linux-6.1-x86_64-with-musl1.2"}, "another C library"),
        ({"device": "cuda:0"}, "on a GPU"),
        ({"python_version": "3.12.1"}, "under Python 3.12.1"),
        ({"torch_version": "2.9.1+cpu"}, "with another build of torch (2.9.1+cpu)"),
    ],
)
def test_what_was_recorded_elsewhere_does_not_count(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    (found,) = recorded(capsule_subject([write(tmp_path / "one", **changes)]))
    obstacle = found.obstacle(python=(3, 11), cpu_builds=False)
    assert obstacle is not None
    assert said in obstacle


def test_other_variables_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    (found,) = recorded(capsule_subject([write(tmp_path / "one")]))
    obstacle = found.obstacle(python=(3, 11), cpu_builds=False)
    assert obstacle == "under other environment variables"
