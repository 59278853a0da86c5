"""The report: one HTML file that needs nothing else, and that nothing can run in.

No scripts, no fonts, no requests: a content security policy forbids them all, so that a
report from a stranger is as harmless as a picture. The same content gives the same
bytes.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from .._core.atomic import write_atomic
from . import answer, text, words
from .content import ReportContent


def write_report(path: str | Path, content: ReportContent) -> Path:
    """Write the report of a run as one self-contained HTML file.

    Args:
        path: Where to; an existing file is replaced in one step.
        content: What to show.

    Returns:
        The path written to.

    Raises:
        StorageError: If the file cannot be written (message names the path).
    """
    path = Path(path)
    write_atomic(path, render(content).encode("utf-8", "backslashreplace"))
    return path


def render(content: ReportContent) -> str:
    """Make the HTML of a report.

    Args:
        content: What to show.

    Returns:
        The page. A figure that cannot be drawn is replaced by the reason.
    """
    return _environment().get_template("report.html.j2").render(**_view(content))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("retrodict.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=text.number, prose=text.prose, seconds=text.seconds, short=text.short
    )
    return environment


def _view(content: ReportContent) -> dict[str, Any]:
    # Deferred: figures bring matplotlib, and a report is written once per run.
    from . import evidence
    from . import illustrations as draw

    open_checks, passed = words.checks_by_weight(content.verdict)
    return {
        "content": content,
        "headline": words.headline(content),
        "rounds": words.rounds_words(content),
        "open_checks": open_checks,
        "passed_checks": passed,
        "status_words": words.STATUS_WORDS,
        "parameters": answer.rows(content, "parameters"),
        "derived": answer.rows(content, "derived"),
        "baseline": bool(content.summary.get("baseline")),
        "scores": answer.score_lines(content),
        "method_heads": answer.method_heads(content),
        "method_rows": answer.method_rows(content),
        "observation_heads": answer.observation_heads(content),
        "observation_rows": answer.observation_rows(content),
        "informed": evidence.informed(content),
        "informed_words": words.informed_words(content),
        "pairs": draw.pairs(content),
        "marginals": draw.marginals(content),
        "predictions": draw.predictions(content),
        "prior_predictions": draw.prior_predictions(content),
        "calibration": evidence.calibration(content),
        "training": draw.training(content),
        "own_figures": draw.of_the_study(content),
        "outcomes": _outcomes(content),
        "command": content.provenance.get("command", ""),
        "provenance": _facts(content),
        "numbers": _as_json(content),
    }


def _outcomes(content: ReportContent) -> list[tuple[str, int]]:
    """List how the simulations ended, those that succeeded first."""
    total = content.simulations.get("total", 0)
    counts = {k: int(v) for k, v in content.simulations.get("counts", {}).items() if v}
    good = counts.pop("ok", total - sum(counts.values()))
    return [("ok", good), *counts.items()] if total else []


def _facts(content: ReportContent) -> dict[str, str]:
    """Write the provenance for people: ``train_s: 29.4`` becomes ``train: 29 s``."""
    facts = {}
    for name, value in content.provenance.items():
        try:
            duration = float(value) if name.endswith("_s") else None
        except ValueError:
            duration = None
        if duration is not None:
            facts[f"time: {name[:-2]}"] = text.seconds(duration)
        elif name != "command":
            facts[name] = value
    return facts


def _as_json(content: ReportContent) -> str:
    """Write the page's numbers as JSON, in ASCII: no name can then mislead a reader."""
    everything = {
        "summary": content.summary,
        "scores": content.scores,
        "baseline_diagnostics": content.baseline_diagnostics,
        "simulations": content.simulations,
        "warnings": content.warnings,
        "provenance": content.provenance,
    }
    return json.dumps(_plain(everything), indent=1, ensure_ascii=True)


def _plain(value: Any) -> Any:
    """Turn NumPy values into Python's; JSON has no NaN, so those become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)
