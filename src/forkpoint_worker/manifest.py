"""Writing ``manifest.json`` and other small JSON files so that they are whole or absent."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping


def write(path: str, data: Mapping[str, Any]) -> None:
    """Write JSON by a temporary file and a rename."""
    temporary = path + ".tmp"
    with open(temporary, "w") as stream:
        json.dump(data, stream, indent=1, sort_keys=True)
        stream.write("\n")
    os.replace(temporary, path)
