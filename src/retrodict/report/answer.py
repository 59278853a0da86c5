"""The table of the answer: one row per quantity, beside the classical baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .content import ReportContent
from .mathhtml import math_html
from .text import number, rounded


Summaries = Mapping[str, Mapping[str, Any]]
_WIDTH = 150.0

#: What a reader would see in a plot of the two; smaller differences are not marked.
APART_SDS, UNEVEN_SHARE = 0.2, 0.15


@dataclass(frozen=True)
class Strip:
    """Positions, in pixels of a small drawing, of intervals on one common scale.

    Attributes:
        prior: Left end and width of the prior's 90 % interval.
        posterior: The same for the posterior.
        mean: The posterior mean.
        baseline: The interval of the baseline, if there is one.
    """

    prior: tuple[float, float] | None
    posterior: tuple[float, float]
    mean: float
    baseline: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """One quantity, every number already written as text.

    Attributes:
        name: As in the model.
        symbol: HTML of its symbol, or None.
        unit: Its unit, may be empty.
        mean: Posterior mean.
        sd: Posterior standard deviation.
        interval: Ends of the central 90 % interval.
        strip: The same as a drawing.
        baseline: Mean and sd of the baseline, or None.
        difference: Difference of the means in units of the baseline's sd.
        ratio: Ratio of the sds.
        apart: Whether the means differ by more than :data:`APART_SDS`.
        uneven: Whether the sds differ by more than :data:`UNEVEN_SHARE`.
    """

    name: str
    symbol: str | None
    unit: str
    mean: str
    sd: str
    interval: tuple[str, str]
    strip: Strip | None
    baseline: tuple[str, str] | None
    difference: str
    ratio: str
    apart: bool = False
    uneven: bool = False


def rows(content: ReportContent, group: str) -> list[Row]:
    """Build the rows of ``"parameters"`` or ``"derived"`` from the run's summary.

    Args:
        content: What the report shows.
        group: Which part of the summary.

    Returns:
        One row per quantity, in the order of the summary.
    """
    summaries: Summaries = content.summary.get(group) or {}
    others: Summaries = (content.summary.get("baseline") or {}).get(group) or {}
    return [_row(content, n, entry, others.get(n)) for n, entry in summaries.items()]


def observation_rows(content: ReportContent) -> list[tuple[str, list[str]]]:
    """List mean ± sd of every parameter for each of several observations."""
    return [
        (
            str(item["name"]),
            [_plus_minus(entry) for entry in _both(item).values()],
        )
        for item in content.summary.get("observations") or ()
    ]


def observation_heads(content: ReportContent) -> list[str]:
    """Name the columns of :func:`observation_rows`."""
    items = content.summary.get("observations") or ()
    return list(_both(items[0])) if items else []


def method_heads(content: ReportContent) -> list[str]:
    """Name the columns of :func:`method_rows`: nothing where two methods are all."""
    baseline = content.summary.get("baseline") or {}
    rivals = baseline.get("rivals") or ()
    every = ["NPE", baseline.get("method", ""), *(str(r["method"]) for r in rivals)]
    return every if rivals else []


def method_rows(content: ReportContent) -> list[tuple[str, list[str]]]:
    """List mean ± sd of every quantity under each of several methods."""
    baseline = content.summary.get("baseline") or {}
    answers = [_both(content.summary), _both(baseline)]
    answers += [_both(rival) for rival in baseline.get("rivals") or ()]
    return [
        (name, [_plus_minus(answer.get(name)) for answer in answers])
        for name in answers[0]
    ]


def _plus_minus(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    return (
        f"{rounded(entry['mean'], entry['sd'])} ± {rounded(entry['sd'], entry['sd'])}"
    )


def _both(item: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {**(item.get("parameters") or {}), **(item.get("derived") or {})}


def _row(
    content: ReportContent,
    name: str,
    entry: Mapping[str, Any],
    other: Mapping[str, Any] | None,
) -> Row:
    sd = entry["sd"]
    difference = ratio = ""
    apart = uneven = False
    if other is not None and other["sd"] > 0:
        shift = (entry["mean"] - other["mean"]) / other["sd"]
        difference, ratio = _plus(shift), f"{sd / other['sd']:.2f}"
        apart = abs(shift) > APART_SDS
        uneven = abs(sd / other["sd"] - 1) > UNEVEN_SHARE
    return Row(
        name=name,
        symbol=math_html(content.label(name)),
        unit=entry.get("unit") or content.unit(name),
        mean=rounded(entry["mean"], sd),
        sd=rounded(sd, sd),
        interval=(rounded(entry["q05"], sd), rounded(entry["q95"], sd)),
        strip=_strip(content, name, entry, other),
        baseline=_pair(other),
        difference=difference,
        ratio=ratio,
        apart=apart,
        uneven=uneven,
    )


def _pair(other: Mapping[str, Any] | None) -> tuple[str, str] | None:
    if other is None:
        return None
    return rounded(other["mean"], other["sd"]), rounded(other["sd"], other["sd"])


def _plus(value: float) -> str:
    text = f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    return "0.00" if text[1:] == "0.00" else text


def _strip(
    content: ReportContent,
    name: str,
    entry: Mapping[str, Any],
    other: Mapping[str, Any] | None,
) -> Strip | None:
    """Place prior, posterior and baseline on one scale that holds them all."""
    prior = _quantiles(content.prior.get(name))
    ends = [entry["q05"], entry["q95"], *(prior or ())]
    if other is not None:
        ends += [other["q05"], other["q95"]]
    low, high = min(ends), max(ends)
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        return None

    def place(value: float) -> float:
        return round(3 + (_WIDTH - 6) * (value - low) / (high - low), 1)

    def span(pair: Sequence[float]) -> tuple[float, float]:
        return place(pair[0]), max(round(place(pair[1]) - place(pair[0]), 1), 1.5)

    return Strip(
        prior=span(prior) if prior else None,
        posterior=span((entry["q05"], entry["q95"])),
        mean=place(entry["mean"]),
        baseline=span((other["q05"], other["q95"])) if other is not None else None,
    )


def _quantiles(draws: np.ndarray | None) -> tuple[float, float] | None:
    if draws is None:
        return None
    good = np.asarray(draws, dtype=np.float64)
    good = good[np.isfinite(good)]
    if not good.size:
        return None
    low, high = np.quantile(good, (0.05, 0.95))
    return float(low), float(high)


def score_lines(content: ReportContent) -> list[tuple[str, str, str]]:
    """Explain every score against the baseline: name, value, how to read it."""
    reading = {
        "c2st": "share of draws that a classifier tells apart from the baseline's: "
        "0.50 means it can only guess, 1.00 means no overlap",
        "mmd": "maximum mean discrepancy: 0 means equal",
    }
    return [
        (n.upper() if len(n) <= 4 else n, number(v), reading.get(n, ""))
        for n, v in content.scores.items()
    ]
