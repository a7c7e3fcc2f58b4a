"""Runs that end early, recorders that break, and whose fault that is: in real processes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from forkpoint.errors import RecorderFailed, ScriptFailed, StorageFull
from forkpoint.host import Job, JobResult, Workload, run_job
from forkpoint.store import Recording
from forkpoint_worker.schema import COMPLETE
from tests.conftest import TorchEnv
from tests.host.test_faults import gone

pytestmark = pytest.mark.integration


@pytest.fixture
def run(tmp_path: Path, torch_env: TorchEnv, monkeypatch: pytest.MonkeyPatch):
    """Run a script; keywords are those of the job."""
    monkeypatch.chdir(tmp_path)

    def run(body: str, **keywords: object) -> JobResult:
        script = tmp_path / "script.py"
        script.write_text(body)
        job = Job(workload=Workload(script=script), recording=tmp_path / "rec", **keywords)
        return run_job(torch_env("2.10.0"), job, control=tmp_path / "logs", timeout=120)

    return run


def steps_of(result: JobResult) -> int:
    """How many steps a whole recording has."""
    assert result.recording is not None
    with Recording.open(result.recording) as recording:
        assert recording.complete
        return len(recording.steps())


WATCHFUL = """
import atexit, gc, http.server, logging, multiprocessing, os, queue, sys, tempfile, threading, time
import torch

def noticed(what):
    with open("noticed", "a") as stream:
        stream.write(what + "\\n")

def idle(_):
    with open("workers", "a") as stream:
        stream.write("%d\\n" % os.getpid())
    time.sleep(1000)

class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        return torch.full((4,), float(i))

def serve(net, asked, answered):
    while True:  # a server that lives on whatever happens in a request
        try:
            answered.put(net(asked.get()))
        except BaseException as error:
            noticed("server %r" % error)

if __name__ == "__main__":
    atexit.register(noticed, "atexit")
    logging.basicConfig(filename="log", level=logging.INFO)
    pool = multiprocessing.get_context("fork").Pool(2)
    pool.map_async(idle, range(2))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=httpd.serve_forever).start()
    kept = tempfile.NamedTemporaryFile()
    with open("places", "w") as stream:
        stream.write(kept.name)
    asked, answered = queue.Queue(), queue.Queue()
    net = torch.nn.Linear(4, 2)
    thread = threading.Thread(target=serve, args=(net, asked, answered))
    thread.start()
    loader = iter(torch.utils.data.DataLoader(Squares(), batch_size=2, num_workers=2))
    while not os.path.exists("workers"):
        time.sleep(0.01)
    print("before", end="")
    logging.info("logged")
    try:
        for batch in loader:
            asked.put(batch)
            print(" answered %d" % len(answered.get()), end="")
    except BaseException as error:
        noticed("main %r" % error)
        raise
    finally:
        noticed("finally")
"""


def test_a_run_that_has_seen_enough_is_gone_without_a_trace(run, tmp_path: Path) -> None:
    """A pool, a loader's workers, a server's thread; the last step is made in a thread."""
    result = run(WATCHFUL, stop_after=3)
    assert (result.status, result.exit_code, result.failure) == ("stopped", 0, None)
    assert steps_of(result) == 3
    assert not (tmp_path / "noticed").exists()
    assert (result.logs / "stdout.log").read_text() == "before answered 2 answered 2"
    assert "logged" in (tmp_path / "log").read_text()
    assert all(gone(int(pid)) for pid in (tmp_path / "workers").read_text().split())
    assert not Path((tmp_path / "places").read_text()).exists()
    assert sorted(path.name for path in result.logs.iterdir()) == [
        "fault.log", "job.json", "last_event", "result.json", "stderr.log", "stdout.log",
    ]  # fmt: skip


def test_steps_of_several_threads_are_waited_for(run) -> None:
    result = run(
        "import threading, torch\n"
        "begun, late = threading.Event(), threading.Event()\n"
        "class Slow(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        begun.set()\n"
        "        late.wait()\n"
        "        return x\n"
        "class Quick(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x\n"
        "slow = threading.Thread(target=Slow(), args=(torch.ones(1),))\n"
        "slow.start()\n"
        "begun.wait()\n"
        "Quick()(torch.ones(1))\n"
        "late.set()\n"
        "slow.join()\n"
        "raise SystemExit('the run went on')\n",
        stop_after=2,
    )
    assert (result.status, steps_of(result)) == ("stopped", 2)
    with Recording.open(result.recording) as recording:
        assert all(step.state == COMPLETE for step in recording.steps())


def test_a_forked_child_goes_on_where_its_parent_would_stop(run, tmp_path: Path) -> None:
    result = run(
        "import os, torch\n"
        "net = torch.nn.Linear(2, 2)\n"
        "if not os.fork():\n"
        "    for _ in range(5):\n"
        "        net(torch.ones(1, 2))\n"
        "    open('child', 'w').write('went on')\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "for _ in range(5):\n"
        "    net(torch.ones(1, 2))\n",
        stop_after=2,
    )
    assert (result.status, steps_of(result)) == ("stopped", 2)
    assert (tmp_path / "child").read_text() == "went on"


def test_temporary_files_lie_where_a_long_path_leaves_room_for_sockets(
    tmp_path: Path, torch_env: TorchEnv
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, tempfile, torch\n"
        "def main():\n"
        "    manager = multiprocessing.Manager()\n"
        "    manager.dict()['a'] = 1\n"
        "    open('place', 'w').write(tempfile.gettempdir())\n"
        "    torch.nn.Linear(2, 2)(torch.ones(1, 2))\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    job = Job(
        workload=Workload(script=script, cwd=tmp_path), recording=tmp_path / "rec", stop_after=1
    )
    deep = tmp_path / ("long" * 20)
    result = run_job(torch_env("2.10.0"), job, control=deep, timeout=120)
    assert (result.status, steps_of(result)) == ("stopped", 1)
    place = Path((tmp_path / "place").read_text())
    assert place.parent == Path(tempfile.gettempdir())
    assert not place.exists()


def test_a_recorder_that_breaks_lets_the_script_run_on(run, tmp_path: Path) -> None:
    result = run(
        "import resource, torch\n"
        "net = torch.nn.Linear(64, 64)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    for _ in range(400):\n"
        "        net(torch.randn(64, 64))\n"
        "except BaseException as error:\n"
        "    open('noticed', 'w').write(repr(error))\n"
        "open('went on', 'w')\n"
    )
    assert result.status == "failed"
    assert isinstance(result.failure, StorageFull)
    assert (tmp_path / "went on").exists()
    assert not (tmp_path / "noticed").exists()


def test_a_script_that_fails_only_while_it_is_recorded(run, tmp_path: Path) -> None:
    """It asks for something that only a recorder brings with it."""
    result = run(
        "import sys, torch\n"
        "torch.nn.Linear(2, 2)(torch.ones(1, 2))\n"
        "if 'forkpoint_worker.recorder' in sys.modules:\n"
        "    raise LookupError('somebody is watching')\n"
    )
    assert (result.status, result.alone) == ("raised", True)
    assert isinstance(result.failure, RecorderFailed)
    assert (
        "LookupError: somebody is watching; it ends well when it is run alone: the recorder "
        in (result.failure.message.partition("\n")[0])
    )
    assert "a fault of forkpoint, not of the script" in result.failure.hint
    assert f"1 step recorded until then are kept in {tmp_path / 'rec'}" in result.failure.hint


def test_a_script_that_exits_only_while_it_is_recorded(run) -> None:
    result = run(
        "import sys, torch\n"
        "sys.exit(3 if torch.nn.Module.__call__.__module__ != 'torch.nn.modules.module' "
        "or 'forkpoint_worker.recorder' in sys.modules else 0)\n"
    )
    assert (result.status, result.exit_code, result.alone) == ("exited", 3, True)
    assert isinstance(result.failure, RecorderFailed)


def test_a_script_that_fails_alone_too(run, tmp_path: Path) -> None:
    result = run("open('runs', 'a').write('.')\nraise KeyError('always')\n")
    assert (result.status, result.alone) == ("raised", False)
    assert isinstance(result.failure, ScriptFailed)
    assert (tmp_path / "runs").read_text() == ".."
    assert "run alone" not in result.failure.message


def test_what_is_left_out_of_a_run_to_its_end(run) -> None:
    """`--steps` records a part and lets the rest run bare: nothing is ended."""
    result = run(
        "import os, torch\n"
        "net = torch.nn.Linear(2, 2)\n"
        "for _ in range(5):\n"
        "    net(torch.ones(1, 2))\n"
        "print('to the end')\n",
        steps=((0, 2),),
    )
    assert (result.status, result.steps) == ("completed", 5)
    assert (result.logs / "stdout.log").read_text() == "to the end\n"
