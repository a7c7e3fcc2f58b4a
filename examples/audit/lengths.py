"""At which lengths do which batch sizes give other bits than the whole batch?

    python lengths.py 'python=/path/to/venv' --device cuda
    python lengths.py 'python=/path/to/venv' --layers 2 --lengths 61 64 77

What is not known here goes to ``bert.py``. The environment needs torch and transformers.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import forkpoint
from forkpoint.host import Workload


def main() -> None:
    args, rest = parse_args()
    sizes = tuple(args.sizes)
    questions = forkpoint.Questions(properties=("batch",), batch=sizes, limit=64)
    script = Path(__file__).with_name("bert.py")
    found = forkpoint.audit(
        Workload(script=script, argv=tuple(rest)),
        args.environment,
        questions=questions,
        options=forkpoint.Options(max_storage=args.memory),
    )
    show(found, sizes)


def show(found: forkpoint.Audit, sizes: tuple[int, ...]) -> None:
    """A line for each batch size: the lengths that break, and the ops that break first."""
    broken: dict[str, list[int]] = defaultdict(list)
    first: dict[str, set[str]] = defaultdict(set)
    lengths = {trial.inputs[0].shape[1] for trial in found.trials}
    for trial in found.trials:
        if trial.state == "differs":
            broken[trial.variant].append(trial.inputs[0].shape[1])
            first[trial.variant].update(f"{one.op} in {one.module}" for one in trial.breaks[:1])
        elif trial.state != "equal":
            print(f"step {trial.step}, {trial.variant}: {trial.reason or trial.state}")
    print(f"{len(lengths)} lengths in {found.environment}")
    for variant in dict.fromkeys(trial.variant for trial in found.trials):
        where = sorted(broken[variant])
        print(f"{variant}: {len(where)} of {len(lengths)} lengths differ", *where)
        for place in sorted(first[variant]):
            print(f"    first in {place}")
    if not broken:
        print(f"no length differs at any of the batch sizes {sizes}")


def parse_args() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="as forkpoint's --env takes it")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 31])
    parser.add_argument("--memory", type=int, default=4 * 10**9, help="bytes of tensors kept")
    return parser.parse_known_args()


if __name__ == "__main__":
    main()
