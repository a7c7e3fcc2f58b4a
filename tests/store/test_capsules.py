"""Capsules from anybody: what they claim is checked before anything is made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from forkpoint import api
from forkpoint.errors import ForkpointError, RecordingError
from forkpoint.store import read_call, read_capsule

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(op: str = "aten.exp.default", **changes: Any) -> Path:
        layout = {
            "dtype": "float64", "shape": [3], "stride": [1], "offset": 0, "storage": 0,
            "alignment": 0, "device": "cpu", **changes.pop("layout", {}),
        }  # fmt: skip
        call = {"op": op, "schema": "", "tensors": [layout], "args": [{"tensor": 0}], "kwargs": {},
                "storages": [{"bytes": 24, "key": "s"}], **changes.pop("call", {})}  # fmt: skip
        output = {"slot": 0, "dtype": "float64", "shape": [3], "digest": "0" * 16}
        document = {"format": "forkpoint.capsule/1", "call": call, "outputs": [output],
                    "reason": None, **changes}  # fmt: skip
        folder = tmp_path / "capsule"
        folder.mkdir()
        (folder / "capsule.json").write_text(json.dumps(document))
        save_file({"s": np.arange(24, dtype=np.uint8)}, folder / "tensors.safetensors")
        save_file({"0": np.zeros(3)}, folder / "outputs.safetensors")
        return folder

    return make


@pytest.mark.parametrize(
    "layout",
    [
        {"shape": [1 << 22, 1 << 22], "stride": [0, 0]},
        {"shape": [2, 1 << 40], "stride": [1, 0]},
        {"shape": [1 << 30], "stride": [0]},
        {"shape": [1] * 65, "stride": [0] * 65},
        {"shape": [3], "stride": [1 << 60]},
        {"shape": [3], "stride": [1], "offset": 10**30},
        {"shape": [3], "stride": [1], "offset": 1},
        {"shape": [3], "stride": [-1]},
        {"shape": [-3], "stride": [1]},
        {"shape": [3], "stride": [1, 1]},
        {"storage": 1},
        {"storage": -1},
    ],
)
def test_a_tensor_that_its_bytes_cannot_hold_is_refused(make: Make, layout: Any) -> None:
    folder = make(layout=layout)
    with pytest.raises(RecordingError, match="capsule"):
        read_call(folder).values(0)


def test_an_expanded_tensor_of_a_usual_size_is_read(make: Make) -> None:
    values = read_call(make(layout={"shape": [1000, 3], "stride": [0, 1]})).values(0)
    assert values is not None
    assert values.shape == (1000, 3)


@pytest.mark.parametrize(
    "op", ["mylib.scale.default", "torchvision.nms.default", "profiler.x.y", "aten.from_file.x"]
)
def test_an_op_of_another_library_is_named_and_not_written(
    make: Make, tmp_path: Path, op: str
) -> None:
    folder = make(op)
    with pytest.raises(RecordingError, match=f"would run {op} on float64") as caught:
        api.repro(folder, out=tmp_path / "out")
    trusted = "from_file" not in op
    assert ("--trust" in caught.value.hint) is trusted
    assert not (tmp_path / "out").exists()
    if trusted:
        api.repro(folder, out=tmp_path / "out", options=api.Options(trust=True))
        assert f"torch.ops.{op}(" in (tmp_path / "out" / "repro.py").read_text()


@pytest.mark.parametrize(
    "op",
    ["import_module.__call__", "aten.neg", "aten.neg.default)", "aten.neg.\ndefault", "a.b.c.d",
     "aten.nég.default", "", "x" * 300 + ".y.z"],
)  # fmt: skip
def test_what_is_no_name_of_an_op_is_refused(make: Make, op: str) -> None:
    with pytest.raises(RecordingError, match="not the name of an op"):
        read_capsule(make(op))


def test_a_capsule_without_outputs_has_nothing_to_show(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="names no outputs"):
        api.repro(make(outputs=[]), out=tmp_path / "out")


@pytest.mark.parametrize("slots", [[0, 0], [-1], [1 << 50]])
def test_outputs_that_cannot_be_are_refused(make: Make, slots: list[int]) -> None:
    outputs = [{"slot": slot, "digest": "0" * 16} for slot in slots]
    with pytest.raises(RecordingError, match="names an output"):
        read_capsule(make(outputs=outputs))


@pytest.mark.parametrize(
    "argument",
    [{"dtype": "hub"}, {"layout": "import_ir_module"}, {"memory_format": "load"},
     {"int": "1)"}, {"device": "cpu')"}, {"tensor": "0"}, {"code": "x"}, {}, 3,
     {"list": [{"list": [{"list": [{"list": [{"list": [{"list": [{"list": [{"list": [{"list": [
         {"int": 1}]}]}]}]}]}]}]}]}]}],
)  # fmt: skip
def test_only_checked_literals_are_written(make: Make, tmp_path: Path, argument: Any) -> None:
    folder = make(call={"args": [{"tensor": 0}, argument]})
    with pytest.raises(ForkpointError):
        api.repro(folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["capsule.json", "tensors.safetensors", "outputs.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_read(make: Make, tmp_path: Path, name: str, kind: str) -> None:
    folder = make()
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    with pytest.raises(RecordingError, match=name.replace(".", r"\.")):
        api.repro(folder, out=tmp_path / "out")
