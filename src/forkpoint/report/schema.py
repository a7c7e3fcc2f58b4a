"""The JSON Schemas in the package; ``python -m forkpoint.report.schema`` writes them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import msgspec

from forkpoint.report.json import (
    artifacts_schema,
    audit_schema,
    bisect_schema,
    history_schema,
    json_schema,
)

FILE_NAME = "comparison-1.schema.json"
ARTIFACTS_FILE_NAME = "artifacts-1.schema.json"
AUDIT_FILE_NAME = "audit-1.schema.json"
HISTORY_FILE_NAME = "history-1.schema.json"
BISECT_FILE_NAME = "bisect-1.schema.json"

SCHEMAS: dict[str, Callable[[], dict[str, object]]] = {
    FILE_NAME: json_schema,
    ARTIFACTS_FILE_NAME: artifacts_schema,
    AUDIT_FILE_NAME: audit_schema,
    HISTORY_FILE_NAME: history_schema,
    BISECT_FILE_NAME: bisect_schema,
}
"""What makes each schema, by the name of its file."""


def schema_text(name: str = FILE_NAME) -> str:
    """A schema as it is shipped: sorted, indented, with a final newline."""
    encoded = msgspec.json.encode(SCHEMAS[name](), order="sorted")
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def shipped_schema(name: str = FILE_NAME) -> str:
    """The text of a schema file in the installed package."""
    return (files("forkpoint.report") / name).read_text(encoding="utf-8")


def main() -> None:
    """Write the schemas beside this module."""
    for name in SCHEMAS:
        Path(__file__).with_name(name).write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
