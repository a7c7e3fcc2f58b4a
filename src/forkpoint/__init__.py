"""forkpoint: find where two runs of one model part ways, and prove it.

comparison = forkpoint.compare("encode.py", {"old": "torch==2.9.1", "new": "torch==2.10.0"})

with forkpoint.record(model, "rec-a"):
    model(batch)
comparison = forkpoint.diff("rec-a", "rec-b")
"""

from forkpoint.api import (
    Observer,
    Options,
    Questions,
    audit,
    compare,
    diff,
    diff_artifacts,
    explain,
    record,
    repro,
)
from forkpoint.audit import Audit
from forkpoint.errors import (
    EnvironmentFailed,
    ForkpointError,
    NothingRecorded,
    RecorderFailed,
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
    "Audit",
    "Comparison",
    "EnvironmentFailed",
    "ForkpointError",
    "NothingRecorded",
    "Observer",
    "Options",
    "Questions",
    "RecorderFailed",
    "RecordingError",
    "ScriptFailed",
    "StorageFull",
    "Tolerance",
    "UsageError",
    "Verdict",
    "WorkerCrashed",
    "WorkerFailed",
    "WorkerTimeout",
    "audit",
    "compare",
    "diff",
    "diff_artifacts",
    "explain",
    "record",
    "repro",
]
