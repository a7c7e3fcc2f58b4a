"""An audit as one self-contained page; it has no script and asks the network for nothing."""

from __future__ import annotations

from pathlib import Path

from forkpoint.audit import Audit, Trial
from forkpoint.report import words
from forkpoint.report.audit import (
    PROPERTY_COLUMNS,
    audit_headline,
    audit_notes,
    break_text,
    op_cells,
    op_columns,
    property_rows,
)
from forkpoint.report.page import render_page, write_page

_STATES = {"equal": "equal", "differs": "differ", "unmatched": "not matched row by row"}


def write_audit_page(found: Audit, path: Path) -> Path:
    """Write the page and return its path; an old file is replaced whole.

    Raises `StorageFull` or `UsageError` where it cannot be written.
    """
    return write_page(to_audit_page(found), path)


def to_audit_page(found: Audit) -> str:
    """The page as text; names from foreign scripts are escaped."""
    return render_page(
        "audit.html.j2",
        scripts={},
        audit=found,
        headline=audit_headline(found),
        property_columns=PROPERTY_COLUMNS,
        properties=list(zip(found.properties, property_rows(found), strict=True)),
        op_columns=op_columns(found),
        ops=op_cells(found),
        trials=[_trial(trial) for trial in found.trials],
        notes=list(audit_notes(found)),
    )


def _trial(trial: Trial) -> tuple[Trial, str, str, str]:
    shape = words.shapes(entry.shape for entry in trial.inputs)
    state = _STATES.get(trial.state) or f"not tried: {trial.reason}"
    return trial, shape, state, break_text(trial.breaks[0]) if trial.breaks else ""
