"""Results as text: tables on stdout, talk on stderr."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


if TYPE_CHECKING:
    from ..bench.published import Column
    from ..bench.summary import Line
    from ..simulations import Simulations
    from ..trust import Check, Verdict


STYLES = {"trusted": "bold green", "caution": "bold yellow", "rejected": "bold red"}
MARKS = {"pass": "[green]pass[/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def talk(message: str) -> None:
    """Say something to the person, not to the pipe."""
    print(message, file=sys.stderr)


def print_answer(
    summary: Mapping[str, Any], verdict: "Verdict", warnings: Iterable[Any]
) -> None:
    """Print the verdict, what is wrong, and the table of parameters."""
    _print_findings(verdict, [c for c in verdict.checks if c.status != "pass"])
    _print_warnings(warnings)
    everything = {**summary["parameters"], **summary["derived"]}
    baseline = summary.get("baseline", {})
    other = {**baseline.get("parameters", {}), **baseline.get("derived", {})}
    print_parameters(everything, other, baseline.get("method", ""))
    if baseline.get("rivals"):
        _print_methods(everything, [baseline, *baseline["rivals"]])


def _print_methods(
    own: Mapping[str, Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> None:
    """Print mean and sd of every quantity under each method, in one table."""
    table = Table(box=None, pad_edge=False)
    table.add_column("mean ± sd", overflow="fold")
    answers = [own, *({**o["parameters"], **o["derived"]} for o in others)]
    for title in ["NPE", *(str(o["method"]) for o in others)]:
        table.add_column(Text(title), justify="right")
    for name in own:
        cells = [
            f"{_number(a[name]['mean'])} ± {_number(a[name]['sd'])}"
            if name in a
            else ""
            for a in answers
        ]
        table.add_row(Text(name), *cells)
    console = _console()
    console.print()
    console.print(table)


def print_parameters(
    rows: Mapping[str, Mapping[str, Any]],
    baseline: Mapping[str, Mapping[str, Any]],
    method: str = "",
) -> None:
    """Print mean, sd and 90 % interval, and the baseline's beside them."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    titles = ["mean", "sd", "5 %", "95 %"] + (["baseline", "sd"] if baseline else [])
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("unit" if any(r["unit"] for r in rows.values()) else "")
    for name, row in rows.items():
        cells = [_number(row[key]) for key in ("mean", "sd", "q05", "q95")]
        if baseline:
            other = baseline.get(name)
            cells += [_number(other[k]) if other else "" for k in ("mean", "sd")]
        table.add_row(Text(name), *cells, Text(row["unit"]))
    console = _console()
    console.print()
    console.print(table)
    if method:
        console.print(f"Baseline: {method}.", markup=False)


def print_checks(verdict: "Verdict") -> None:
    """Print the verdict and every check."""
    _print_findings(verdict, verdict.checks)


def _print_findings(verdict: "Verdict", checks: Iterable["Check"]) -> None:
    """Print the headline and each finding; advice that several share, only once."""
    console = _console()
    console.print(Text(verdict.headline, STYLES[verdict.verdict]))
    told: set[str] = set()
    for check in checks:
        advice = [s for s in _sentences(check.remedy) if s not in told]
        told.update(advice)
        console.print(_hanging(MARKS[check.status], " ".join([check.message, *advice])))


def _print_warnings(warnings: Iterable[Any]) -> None:
    console = _console()
    for warning in warnings:
        words = f"{warning.message} {warning.remedy}".strip()
        console.print(_hanging("[yellow]x_obs[/]", words))


def _hanging(mark: str, words: str) -> Table:
    """Lay out a paragraph whose further lines are indented below its first."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row(mark, Text(words))
    return grid


def _sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip())
    return [part for part in parts if part]


def print_counts(simulations: "Simulations") -> None:
    """Print how many simulations ended how, and the commonest errors."""
    console = _console()
    counts = ", ".join(f"{n} {status}" for status, n in simulations.counts.items())
    console.print(f"{len(simulations)} simulations: {counts}")
    for text, count in simulations.errors:
        console.print(f"  {count} x {text}", markup=False)


def print_status(facts: Mapping[str, Any]) -> None:
    """Print how far a campaign is, how fast, and what failed."""
    console = _console()
    planned = facts["planned"]
    whole = f" of {planned}" if planned else ""
    counts = ", ".join(f"{n} {status}" for status, n in facts["counts"].items())
    console.print(f"{facts['done']}{whole} simulations: {counts or 'none yet'}")
    if facts["rate"]:
        left = f", {_duration(facts['eta_s'])} left" if facts["eta_s"] else ""
        console.print(f"{facts['rate']:.3g} per second in the last session{left}")
    for text, count in facts["errors"]:
        console.print(f"  {count} x {text}", markup=False)


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def print_benchmark(
    method: str, lines: Iterable["Line"], published: Sequence["Column"]
) -> None:
    """Print mean scores per task, published ones beside them; the lowest is bold."""
    table = Table(box=None, pad_edge=False)
    table.add_column(Text(method))
    for title in ("obs.", "C2ST", "-log q", *(column.title for column in published)):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for line in lines:
        scores = [line.c2st, *line.published]
        lowest = min(score for score in scores if score is not None)
        own, *others = [
            Text("" if s is None else f"{s:.3f}", "bold" if s == lowest else "")
            for s in scores
        ]
        count, nlpd = str(line.num_observations), _number(line.nlpd)
        if line.task == "mean":
            table.add_section()
        table.add_row(Text(line.task), count, own, nlpd, *others)
    console = _console()
    console.print(table)
    notes = [f"{column.title}: {column.note}." for column in published]
    if notes:
        console.print(Text(" ".join(["Published C2ST.", *notes])))


def _console() -> Console:
    """Wrap at the width of the terminal; never in a pipe, where programs read lines."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    return console


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
