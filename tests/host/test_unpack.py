"""Unpacking in real processes, one of which dies in the middle."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from forkpoint.host import LastEvent, Watcher, unpack
from tests.conftest import TorchEnv
from tests.host.test_replay import _kill

pytestmark = pytest.mark.integration

PICKLE = b"\x80\x02K\x01."


def test_a_file_over_which_the_process_dies_is_crashed_and_the_rest_is_read(
    torch_env: TorchEnv, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "hangs")  # nobody writes: whoever opens it waits
    (tmp_path / "rubbish").write_bytes(PICKLE)
    names = ["rubbish", "hangs", "rubbish", "missing"]
    files = [(tmp_path / name, tmp_path / str(n)) for n, name in enumerate(names)]
    control = tmp_path / "control"

    def event(last: LastEvent) -> None:
        if last.op == "1":
            _kill(control)

    watcher = Watcher(event=event)
    found = unpack(torch_env("2.10.0"), files, control=control, watcher=watcher)
    assert [one.status for one in found] == ["refused", "crashed", "refused", "refused"]
    assert signal.SIGKILL.name in str(found[1].reason)
    assert "No such file" in str(found[3].reason)


def test_an_old_torch_reads_nothing(torch_env: TorchEnv, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(PICKLE)
    (found,) = unpack(
        torch_env("2.9.1"), [(tmp_path / "x.pt", tmp_path / "out")], control=tmp_path / "c"
    )
    assert found.status == "no_reader"
    assert "2.9.1" in str(found.reason)
