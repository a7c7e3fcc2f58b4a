"""Runs the test functions of this folder inside a foreign environment: stdlib only, Python 3.8+.

``python -I runner.py SOURCES OUT MODULE...`` runs every ``test_*`` function of the modules and
appends a line of JSON for each to OUT/results.jsonl as soon as it has ended. A function may
take ``tmp``, a fresh folder, and ``artifacts``, a folder that the host looks into afterwards.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import tempfile
import traceback
import unittest


def main(sources, out, modules):
    sys.dont_write_bytecode = True
    sys.path[:0] = [sources, os.path.dirname(os.path.abspath(__file__))]
    artifacts = os.path.join(out, "artifacts")
    os.makedirs(artifacts)
    with open(os.path.join(out, "results.jsonl"), "w") as stream:
        for name in modules:
            for test, function in tests_of(importlib.import_module(name)):
                outcome, detail = run(function, artifacts)
                row = {"test": "%s:%s" % (name, test), "outcome": outcome, "detail": detail}
                stream.write(json.dumps(row) + "\n")
                stream.flush()


def tests_of(module):
    found = [(n, f) for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    return [(n, f) for n, f in found if f.__module__ == module.__name__]


def run(function, artifacts):
    with tempfile.TemporaryDirectory() as tmp:
        offered = {"tmp": tmp, "artifacts": artifacts}
        wanted = {name: offered[name] for name in inspect.signature(function).parameters}
        try:
            reset()
            function(**wanted)
        except unittest.SkipTest as skip:
            return "skipped", str(skip)
        except BaseException:
            return "failed", traceback.format_exc()
    return "passed", ""


def reset():
    import torch

    torch.manual_seed(0)
    torch.set_grad_enabled(True)
    torch.set_num_threads(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
