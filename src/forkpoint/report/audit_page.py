"""An audit as one self-contained page; it has no script and asks the network for nothing."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from forkpoint.audit import Audit, Trial
from forkpoint.host import unwritable
from forkpoint.report import words
from forkpoint.report.audit import (
    PROPERTY_COLUMNS,
    audit_headline,
    audit_notes,
    break_text,
    op_cells,
    op_columns,
    property_rows,
    sizes_told,
)

_STATES = {"equal": "equal", "differs": "differ", "unmatched": "not matched row by row"}


def write_audit_page(found: Audit, path: Path) -> Path:
    """Write the page and return its path; an old file is replaced whole.

    Raises `StorageFull` or `UsageError` where it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(to_audit_page(found), encoding="utf-8")
        return draft.replace(path)
    except OSError as error:
        raise unwritable("The report", path, error) from error


def to_audit_page(found: Audit) -> str:
    """The page as text; names from foreign scripts are escaped."""
    environment = Environment(
        loader=PackageLoader("forkpoint.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: words.plain(value) if type(value) is str else value,
    )
    style = (files("forkpoint.report") / "templates" / "report.css").read_text(encoding="utf-8")
    return environment.get_template("audit.html.j2").render(
        audit=found,
        style=Markup(style),  # noqa: S704 - our own file
        headline=audit_headline(found),
        property_columns=PROPERTY_COLUMNS,
        properties=list(zip(found.properties, property_rows(found), strict=True)),
        sizes=sizes_told(found),
        op_columns=op_columns(found),
        ops=op_cells(found),
        trials=[_trial(trial) for trial in found.trials],
        notes=list(audit_notes(found)),
    )


def _trial(trial: Trial) -> tuple[Trial, str, str, str]:
    shape = words.shapes(entry.shape for entry in trial.inputs)
    state = _STATES.get(trial.state) or f"not tried: {trial.reason}"
    return trial, shape, state, break_text(trial.breaks[0]) if trial.breaks else ""
