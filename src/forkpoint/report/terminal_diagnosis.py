"""The diagnosis on a terminal: the path of the difference, origins, and the ladder."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from forkpoint.model import Comparison, Experiment, Origin, Outcome
from forkpoint.report import diagnosis, words
from forkpoint.report.path import TITLE, path_stages, stage_text
from forkpoint.report.tables import MAX_NAME, fact_list, plain_table

_STYLES = {Outcome.SUPPORTED: "green", Outcome.REFUTED: "red", Outcome.INCONCLUSIVE: "yellow"}


def print_path(comparison: Comparison, console: Console) -> None:
    """One line for each station from the first fork to the rankings."""
    stages = path_stages(comparison)
    if not stages:
        return
    console.print(Text(TITLE, style="bold"))
    console.print()
    facts = [(f"{stage.mark} {stage.name}", stage_text(stage)) for stage in stages]
    console.print(fact_list(facts, indent=2, width=12))
    console.print()


def print_diagnosis(comparison: Comparison, console: Console) -> None:
    """Each origin with its sweeps, kernels and what to try next; then the experiments."""
    if comparison.origins:
        console.print(Text("Origins: other bits from the same inputs", style="bold"))
        console.print()
    for number, origin in enumerate(comparison.origins, start=1):
        _print_origin(number, origin, comparison, console)
    if comparison.experiments:
        console.print(Text("Experiments", style="bold"))
        console.print()
        for number, experiment in enumerate(comparison.experiments, start=1):
            _print_experiment(number, experiment, console)
        console.print()


def _print_origin(number: int, origin: Origin, comparison: Comparison, console: Console) -> None:
    title = words.shorten(diagnosis.origin_title(origin), 2 * MAX_NAME)
    console.print(Padding(Text(f"{number}. {title}", style="bold"), (0, 0, 0, 1)))
    console.print(fact_list(diagnosis.origin_facts(origin, comparison)))
    console.print()
    for sweep in origin.sweeps:
        said = f"{sweep.dimension}; {diagnosis.sweep_sentence(sweep)}"
        console.print(fact_list([("sweep", said)]))
        if diagnosis.is_uniform(sweep):
            continue
        columns = diagnosis.sweep_columns(sweep, comparison)
        table = plain_table("", columns, diagnosis.sweep_rows(sweep))
        console.print(Padding(table, (0, 0, 0, 15)))
    if origin.sweeps:
        console.print()
    rows = diagnosis.kernel_rows(origin.kernels, comparison)
    if rows:
        table = plain_table("Kernels", diagnosis.KERNEL_COLUMNS, rows)
        console.print(Padding(table, (0, 0, 0, 4)))
    commands = diagnosis.next_commands(origin, comparison)
    if commands:
        console.print(Padding(Text("What to try next, in the results folder:"), (0, 0, 0, 4)))
        for command in commands:
            # one unbroken line, so that it can be copied
            console.print(Text(f"      {words.plain(command)}"), soft_wrap=True)
        console.print()


def _print_experiment(number: int, experiment: Experiment, console: Console) -> None:
    head = Text(f"{number:>2}. ")
    head.append(f"{diagnosis.outcome(experiment):<15}", style=_STYLES[experiment.outcome])
    head.append(words.shorten(experiment.name, MAX_NAME), style="bold")
    console.print(head)
    console.print(fact_list(diagnosis.experiment_facts(experiment)))
