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
    SizeClasses,
    SizeCount,
    Trial,
    TrialState,
)
from forkpoint.audit.rows import UNCHANGED, Answers, Given, Varied, read_answers, read_digests
from forkpoint.audit.verdicts import judge, op_rows

__all__ = [
    "PROPERTIES",
    "SCHEMA",
    "UNCHANGED",
    "Answers",
    "Audit",
    "Break",
    "Given",
    "OpRow",
    "Property",
    "PropertyResult",
    "Refusal",
    "SizeClasses",
    "SizeCount",
    "Trial",
    "TrialState",
    "Varied",
    "fresh_trials",
    "judge",
    "op_rows",
    "read_answers",
    "read_digests",
]
