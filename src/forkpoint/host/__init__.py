"""Starting workers in foreign environments, and understanding how they end."""

from forkpoint.host._calls import OWN_OPS, Call, Replayed, ReplayedOutput, ReplayStatus, Rules
from forkpoint.host._failures import kept
from forkpoint.host._job import Job, Level, Workload, half_open
from forkpoint.host._place import is_recording, publish, require_free, stage, unwritable
from forkpoint.host._replay import Replayer, replay
from forkpoint.host._result import JobResult, LastEvent, Status
from forkpoint.host._run import Watcher, run_job
from forkpoint.host._script import ScriptRun, run_script
from forkpoint.host._turns import in_turn
from forkpoint.host._unpack import Unpacked, UnpackStatus, unpack

__all__ = [
    "OWN_OPS",
    "Call",
    "Job",
    "JobResult",
    "LastEvent",
    "Level",
    "ReplayStatus",
    "Replayed",
    "ReplayedOutput",
    "Replayer",
    "Rules",
    "ScriptRun",
    "Status",
    "UnpackStatus",
    "Unpacked",
    "Watcher",
    "Workload",
    "half_open",
    "in_turn",
    "is_recording",
    "kept",
    "publish",
    "replay",
    "require_free",
    "run_job",
    "run_script",
    "stage",
    "unpack",
    "unwritable",
]
