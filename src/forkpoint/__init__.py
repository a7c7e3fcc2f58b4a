"""forkpoint: find where two runs of one model part ways, and prove it.

comparison = forkpoint.compare("encode.py", {"old": "torch==2.9.1", "new": "torch==2.10.0"})

with forkpoint.record(model, "rec-a"):
    model(batch)
comparison = forkpoint.diff("rec-a", "rec-b")
"""

from forkpoint.api import Observer, Options, compare, diff, diff_artifacts, record
from forkpoint.errors import (
    EnvironmentFailed,
    ForkpointError,
    NothingRecorded,
    RecordingError,
    ScriptFailed,
    StorageFull,
    UsageError,
    WorkerCrashed,
    WorkerFailed,
    WorkerTimeout,
)
from forkpoint.model import Comparison, Tolerance, Verdict

__all__ = [
    "Comparison",
    "EnvironmentFailed",
    "ForkpointError",
    "NothingRecorded",
    "Observer",
    "Options",
    "RecordingError",
    "ScriptFailed",
    "StorageFull",
    "Tolerance",
    "UsageError",
    "Verdict",
    "WorkerCrashed",
    "WorkerFailed",
    "WorkerTimeout",
    "compare",
    "diff",
    "diff_artifacts",
    "record",
]
