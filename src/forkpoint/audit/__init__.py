"""One environment against itself: does a sample's result depend on what is around it?"""

from forkpoint.audit.fresh import fresh_trials
from forkpoint.audit.model import (
    PROPERTIES,
    SCHEMA,
    Audit,
    Break,
    OpRow,
    Property,
    PropertyResult,
    Refusal,
    Trial,
    TrialState,
)
from forkpoint.audit.rows import Answers, Varied, read_answers, read_digests
from forkpoint.audit.verdicts import judge, op_rows

__all__ = [
    "PROPERTIES",
    "SCHEMA",
    "Answers",
    "Audit",
    "Break",
    "OpRow",
    "Property",
    "PropertyResult",
    "Refusal",
    "Trial",
    "TrialState",
    "Varied",
    "fresh_trials",
    "judge",
    "op_rows",
    "read_answers",
    "read_digests",
]
