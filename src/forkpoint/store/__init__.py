"""Reading recordings as untrusted input."""

from forkpoint.store.capsules import Capsule, Layout, RecordedCall, read_call, read_capsule
from forkpoint.store.dtypes import DTYPES, SAFETENSORS
from forkpoint.store.manifest import Digest, Limits, Manifest, ScriptError
from forkpoint.store.recording import Recording
from forkpoint.store.rows import (
    EventColumns,
    EventRow,
    MetricRow,
    PlainRow,
    StepRow,
    TensorRow,
    UncoveredRow,
    UnreadRow,
    ValueRow,
)
from forkpoint.store.tensors import read_header

__all__ = [
    "DTYPES",
    "SAFETENSORS",
    "Capsule",
    "Digest",
    "EventColumns",
    "EventRow",
    "Layout",
    "Limits",
    "Manifest",
    "MetricRow",
    "PlainRow",
    "RecordedCall",
    "Recording",
    "ScriptError",
    "StepRow",
    "TensorRow",
    "UncoveredRow",
    "UnreadRow",
    "ValueRow",
    "read_call",
    "read_capsule",
    "read_header",
]
