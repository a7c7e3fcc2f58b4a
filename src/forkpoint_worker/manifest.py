"""Writing ``manifest.json`` and other small JSON files so that they are whole or absent."""

import json
import os


def write(path, data):
    """Write JSON by a temporary file and a rename."""
    temporary = path + ".tmp"
    with open(temporary, "w") as stream:
        json.dump(data, stream, indent=1, sort_keys=True)
        stream.write("\n")
    os.replace(temporary, path)
