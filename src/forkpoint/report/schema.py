"""The JSON Schemas in the package; ``python -m forkpoint.report.schema`` writes them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from forkpoint.report.json import artifacts_schema, audit_schema, json_schema

FILE_NAME = "comparison-1.schema.json"
ARTIFACTS_FILE_NAME = "artifacts-1.schema.json"
AUDIT_FILE_NAME = "audit-1.schema.json"


def schema_text() -> str:
    """The schema of a comparison as it is shipped: sorted, indented, with a final newline."""
    return _text(json_schema())


def artifacts_schema_text() -> str:
    """The same for a comparison of files."""
    return _text(artifacts_schema())


def audit_schema_text() -> str:
    """The same for an audit."""
    return _text(audit_schema())


def shipped_schema(name: str = FILE_NAME) -> str:
    """The text of a schema file in the installed package."""
    return (files("forkpoint.report") / name).read_text(encoding="utf-8")


def main() -> None:
    """Write the schemas beside this module."""
    for name, text in (
        (FILE_NAME, schema_text()),
        (ARTIFACTS_FILE_NAME, artifacts_schema_text()),
        (AUDIT_FILE_NAME, audit_schema_text()),
    ):
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")


def _text(schema: dict[str, object]) -> str:
    encoded = msgspec.json.encode(schema, order="sorted")
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


if __name__ == "__main__":
    main()
