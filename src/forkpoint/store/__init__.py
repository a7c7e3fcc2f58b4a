"""Reading recordings as untrusted input."""

from forkpoint.store.dtypes import DTYPES
from forkpoint.store.manifest import Digest, Limits, Manifest, ScriptError
from forkpoint.store.recording import Recording
from forkpoint.store.rows import (
    EventColumns,
    EventRow,
    MetricRow,
    StepRow,
    TensorRow,
    UncoveredRow,
    ValueRow,
)

__all__ = [
    "DTYPES",
    "Digest",
    "EventColumns",
    "EventRow",
    "Limits",
    "Manifest",
    "MetricRow",
    "Recording",
    "ScriptError",
    "StepRow",
    "TensorRow",
    "UncoveredRow",
    "ValueRow",
]
