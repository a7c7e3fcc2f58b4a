"""Replaying op calls in real processes, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from forkpoint.errors import WorkerFailed
from forkpoint.host import Call, LastEvent, Replayed, Watcher, replay
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration


def _call(name: str, count: int = 8, op: str = "aten.exp.default") -> Call:
    tensor = {
        "dtype": "float32", "shape": [count], "stride": [1], "offset": 0, "storage": 0,
        "alignment": 0, "device": "cpu",
    }  # fmt: skip
    fill = {"kind": "uniform", "seed": 3, "scale": 1.0, "shift": "0x0.0p+0"}
    document: dict[str, Any] = {
        "op": op,
        "schema": "",
        "args": [{"tensor": 0}],
        "kwargs": {},
        "tensors": [tensor],
        "storages": [{"fill": fill, "bytes": 4 * count}],
    }
    return Call(id=name, call=document)


def _kill(control: Path) -> None:
    """Kill the worker whose command line names this folder, as a full memory would."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(os.fsencode(control) in word for word in words):
                os.kill(int(entry.name), signal.SIGKILL)


def test_a_call_in_which_the_process_dies_is_crashed_and_the_rest_goes_on(
    torch_env: TorchEnv, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    seen = []

    def event(last: LastEvent) -> None:
        if last.op == "slow" and not seen:
            seen.append(last)
            _kill(control)

    calls = [_call("before"), _call("slow", 60_000_000), _call("after")]
    found = replay(torch_env("2.10.0"), calls, control=control, watcher=Watcher(event=event))
    assert [found[call.id].status for call in calls] == ["ran", "crashed", "ran"]
    assert "SIGKILL" in str(found["slow"].reason)
    assert found["before"].digests == found["after"].digests


def test_calls_need_ids_of_their_own(torch_env: TorchEnv, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ids"):
        replay(torch_env("2.10.0"), [_call("a"), _call("a")], control=tmp_path)


def test_rubbish_among_the_answers_is_refused(tmp_path: Path) -> None:
    from forkpoint.host._answers import read_answers

    path = tmp_path / "replayed.jsonl"
    path.write_text('{"id": "a", "status": "ran"}\n{"id": "a", "sta')
    assert set(read_answers(path, {"a"}, Replayed)) == {
        "a"
    }  # the process died while it wrote the second
    path.write_text('{"id": "b", "status": "ran"}\n')
    with pytest.raises(WorkerFailed, match="not asked for"):
        read_answers(path, {"a"}, Replayed)
    path.write_text("nonsense\n")
    with pytest.raises(WorkerFailed, match="cannot be read"):
        read_answers(path, {"a"}, Replayed)


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_waiting_threads_sleep_unless_the_environment_says_otherwise(
    torch_env: TorchEnv, tmp_path: Path, own: str | None
) -> None:
    environment = torch_env("2.10.0")
    if own:
        environment = environment.altered(variables={"OMP_WAIT_POLICY": own})
    replay(environment, [_call("one")], control=tmp_path)
    result = json.loads((tmp_path / "1" / "result.json").read_bytes())
    assert result["fingerprint"]["variable.OMP_WAIT_POLICY"] == (own or "PASSIVE")
