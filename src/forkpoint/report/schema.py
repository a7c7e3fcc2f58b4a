"""The JSON Schema that ships with the package; ``python -m forkpoint.report.schema`` writes it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from forkpoint.report.json import json_schema

FILE_NAME = "comparison-1.schema.json"


def schema_text() -> str:
    """The schema as it is shipped: sorted, indented, with a final newline."""
    encoded = msgspec.json.encode(json_schema(), order="sorted")
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def shipped_schema() -> str:
    """The text of the schema file in the installed package."""
    return (files("forkpoint.report") / FILE_NAME).read_text(encoding="utf-8")


def main() -> None:
    """Write the schema beside this module."""
    Path(__file__).with_name(FILE_NAME).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
