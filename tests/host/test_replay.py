"""Replaying op calls in real processes, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from forkpoint.errors import WorkerFailed
from forkpoint.host import Call, LastEvent, Replayed, Replayer, Watcher, replay
from forkpoint.process import in_parallel
from tests.conftest import TorchEnv
from tests.support.cli import SOURCES

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


@pytest.fixture
def replayer(torch_env: TorchEnv, tmp_path: Path) -> Iterator[Replayer]:
    made = Replayer(torch_env("2.10.0"), tmp_path / "live")
    yield made
    made.close()


def _processes(control: Path) -> list[Path]:
    """The folders of the processes that a replayer started, in order."""
    return sorted(control.iterdir())


def test_a_replayer_answers_many_times_in_one_process(replayer: Replayer, tmp_path: Path) -> None:
    first = replayer.ask([_call("a"), _call("b", 16)])
    second = replayer.ask([_call("a", 16), _call("c", op="aten.no_such_op.default")])
    assert [len(one) for one in (first, second)] == [2, 2]
    assert first["b"].digests == second["a"].digests != first["a"].digests
    assert second["c"].status == "no_such_op"
    (folder,) = _processes(tmp_path / "live")
    replayer.close()
    assert json.loads((folder / "result.json").read_text())["status"] == "completed"
    assert replayer.ask([_call("a")])["a"].digests == first["a"].digests
    assert len(_processes(tmp_path / "live")) == 2


def test_a_replayer_goes_on_after_a_call_in_which_its_process_dies(
    replayer: Replayer, tmp_path: Path
) -> None:
    replayer.watcher = Watcher(event=lambda last: last.op == "slow" and _kill(tmp_path / "live"))
    before = replayer.ask([_call("before")])["before"]
    calls = [_call("slow", 60_000_000), _call("after")]
    found = replayer.ask(calls)
    assert [found[call.id].status for call in calls] == ["crashed", "ran"]
    assert found["after"].digests == before.digests
    assert len(_processes(tmp_path / "live")) == 2


def test_a_replayer_that_was_busy_is_ended_at_once(replayer: Replayer, tmp_path: Path) -> None:
    replayer.ask([_call("ready")])  # its process imports torch before
    began = threading.Event()
    replayer.watcher = None

    def ask() -> object:
        began.set()
        return replayer.ask([_call(str(n), 60_000_000) for n in range(1000)])

    def interrupt() -> object:
        began.wait()
        raise InterruptedError

    with pytest.raises(InterruptedError):
        in_parallel([ask, interrupt])
    replayer.close()
    answered = (tmp_path / "live" / "1" / "replayed.jsonl").read_text().splitlines()
    assert len(answered) < 1000


def test_a_replayer_leaves_with_its_host(torch_env: TorchEnv, tmp_path: Path) -> None:
    code = (
        f"import os, sys; sys.path[:0] = [{str(SOURCES)!r}, {str(Path(__file__).parents[2])!r}]\n"
        "from pathlib import Path; from dataclasses import replace\n"
        "from forkpoint.environments import Environment, EnvironmentSpec\n"
        "from forkpoint.host import Replayer; from tests.host.test_replay import _call\n"
        "spec = EnvironmentSpec(name='one')\n"
        "one = Environment(name='one', spec=spec, python=Path(sys.argv[1]), key='', lock=())\n"
        "Replayer(one, Path(sys.argv[2])).ask([_call('a')])\n"
        "os._exit(0)\n"
    )
    python, control = torch_env("2.10.0").python, tmp_path / "live"
    subprocess.run([sys.executable, "-c", code, python, control], check=True)
    deadline = time.monotonic() + 60
    while _processes_with(str(control)):
        assert time.monotonic() < deadline, "the worker waits for a host that is gone"
        time.sleep(0.05)


def _processes_with(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in path.read_bytes() and b"-c" in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


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
