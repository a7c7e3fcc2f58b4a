"""Where floats become integers: the watched functions of a comparison, stage by stage.

``python stages.py forkpoint-results/colbert/comparison.json`` works on any result with watched
functions, also on what ``forkpoint diff --format json`` printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(path: Path) -> None:
    stages: dict[str, list[dict]] = {}
    for call in json.loads(path.read_text())["watched"]:
        stages.setdefault(call["function"], []).append(call)
    titles = ("calls", "other inputs", "other floats", "other integers", "values changed")
    print(f"{'function':54}", *(title.rjust(15) for title in titles))
    for name, calls in stages.items():
        given = sum(call["arguments_equal"] is False for call in calls)
        floats = sum(bool(unequal(call, integers=False)) for call in calls)
        whole = sum(bool(unequal(call, integers=True)) for call in calls)
        cells = (len(calls), given, floats, whole, changed(calls))
        print(f"{name.partition(':')[2]:54}", *(str(cell).rjust(15) for cell in cells))


def unequal(call: dict, *, integers: bool) -> list[dict]:
    """The results of a call that differ, of one kind of dtype."""
    results = [value for value in call["values"] if value["role"] == "result"]
    return [v for v in results if not v["equal"] and ("int" in v["dtype"]) == integers]


def changed(calls: list[dict]) -> str:
    """Integers that are not the same, of all in results whose shapes match."""
    found = [value for call in calls for value in unequal(call, integers=True)]
    measured = [value["metrics"] for value in found if value["metrics"]]
    if not measured:
        return "-"
    total = sum(m["count"] for m in measured)
    unlike = sum(round(m["count"] * (1 - m["equal_fraction"])) for m in measured)
    return f"{unlike}/{total}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
