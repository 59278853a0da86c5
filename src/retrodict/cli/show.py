"""Results as text: tables on stdout, talk on stderr."""

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table


if TYPE_CHECKING:
    from ..simulations import Simulations
    from ..trust import Verdict


STYLES = {"trusted": "bold green", "caution": "bold yellow", "rejected": "bold red"}
MARKS = {"pass": "[green]pass[/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def talk(message: str) -> None:
    """Say something to the person, not to the pipe."""
    print(message, file=sys.stderr)


def print_answer(
    summary: Mapping[str, Any], verdict: "Verdict", warnings: Iterable[Any]
) -> None:
    """Print the verdict, what is wrong, and the table of parameters."""
    console = _console()
    console.print(verdict.headline, style=STYLES[verdict.verdict])
    for check in verdict.checks:
        if check.status != "pass":
            console.print(f"  {MARKS[check.status]} {check.message} {check.remedy}")
    for warning in warnings:
        console.print(f"  [yellow]{warning.code}[/] {warning.message} {warning.remedy}")
    everything = {**summary["parameters"], **summary["derived"]}
    baseline = summary.get("baseline", {})
    other = {**baseline.get("parameters", {}), **baseline.get("derived", {})}
    print_parameters(everything, other, baseline.get("method", ""))


def print_parameters(
    parameters: Mapping[str, Mapping[str, Any]],
    baseline: Mapping[str, Mapping[str, Any]],
    method: str = "",
) -> None:
    """Print mean, sd and 90 % interval, and the baseline's beside them."""
    table = Table(box=None, pad_edge=False)
    columns = ["", "mean", "sd", "5 %", "95 %"] + (["baseline", "sd"] if baseline else [])
    for number, title in enumerate([*columns, "unit"]):
        right = 0 < number < len(columns)
        table.add_column(title, justify="right" if right else "left")
    for name, row in parameters.items():
        cells = [_number(row[key]) for key in ("mean", "sd", "q05", "q95")]
        if baseline:
            other = baseline.get(name)
            cells += [_number(other[k]) if other else "" for k in ("mean", "sd")]
        table.add_row(name, *cells, row["unit"])
    console = _console()
    console.print(table)
    if method:
        console.print(f"Baseline: {method}.")


def print_checks(verdict: "Verdict") -> None:
    """Print the verdict and every check."""
    console = _console()
    console.print(verdict.headline, style=STYLES[verdict.verdict])
    for check in verdict.checks:
        line = f"  {MARKS[check.status]} [bold]{check.code}[/] {check.message}"
        console.print(f"{line} {check.remedy}".rstrip())


def print_counts(simulations: "Simulations") -> None:
    """Print how many simulations ended how, and the commonest errors."""
    console = _console()
    counts = ", ".join(f"{n} {status}" for status, n in simulations.counts.items())
    console.print(f"{len(simulations)} simulations: {counts}")
    for text, count in simulations.errors:
        console.print(f"  {count} x {text}", markup=False)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _number(value: float) -> str:
    return f"{value:.4g}"
