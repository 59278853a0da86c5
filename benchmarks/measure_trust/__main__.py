"""Measure every claim about trust, and write the table of the documentation.

    python benchmarks/measure_trust [EXPERIMENT ...] [--repetitions N]

Without names all are measured. Rows are kept in ``results.json`` beside this file, and
the table in ``docs/trust-measured.md`` is written from it: a run of some experiments
replaces their rows alone. Exits with 1 if a claim does not hold.
"""

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path


HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.append(str(REPOSITORY / "tests"))
RESULTS = HERE / "results.json"
PAGE = REPOSITORY / "docs" / "trust-measured.md"
INTRODUCTION = (
    "Every number below is computed by `make test-trust`, which also writes this page. "
    "What the checks are is told in [](concepts/calibration.md)."
)
EXPERIMENTS = {
    "verdict": "False alarms and power of the verdict",
    "correction": "Correction of over-confident posteriors",
    "misspecification": "Misspecification of the observation",
    "observation": "Tests at one observation",
    "ridge": "The ridge",
    "nuisances": "Nuisances",
    "frequentist": "Credible and confidence",
    "weights": "Uncertainty of the weights",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "experiments", nargs="*", choices=[*EXPERIMENTS, []], metavar="EXPERIMENT"
    )
    parser.add_argument("--repetitions", type=int, default=500)
    arguments = parser.parse_args()
    unknown = set(arguments.experiments) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"Expected names among {list(EXPERIMENTS)}; got {unknown}.")
    for name in arguments.experiments or EXPERIMENTS:
        begun = time.perf_counter()
        rows = []
        for row in import_module(name).measure(arguments.repetitions):
            print(row, flush=True)
            rows.append(row.to_dict())
        seconds = round(time.perf_counter() - begun)
        # Read anew: another experiment may have ended in the meantime.
        results = stored()
        results[name] = {"rows": rows, "seconds": seconds}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(page(results), encoding="utf-8")
    rows = [row for result in stored().values() for row in result["rows"]]
    return int(not all(row["holds"] for row in rows))


def stored() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def page(results: dict) -> str:
    """Write the table as Markdown."""
    parts = [
        "# Trust, measured",
        INTRODUCTION,
    ]
    for name, title in EXPERIMENTS.items():
        if name not in results:
            continue
        parts += [f"## {title}", import_module(name).__doc__.partition("\n\n")[2]]
        lines = ["| Claim | Measured | Must be | |", "|---|---|---|---|"]
        for row in results[name]["rows"]:
            mark = "holds" if row["holds"] else "**does not hold**"
            mark = "" if row["bound"] == "reported" else mark
            note = f" {row['note']}" if row["note"] else ""
            cells = f"{row['claim']}{note}", row["measured"], row["bound"], mark
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
