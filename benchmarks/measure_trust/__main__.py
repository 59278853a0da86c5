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
TITLES = {
    "verdict": "False alarms and power of the verdict",
    "waste": "Wider than the data allow",
    "correction": "Correction of over-confident posteriors",
    "misspecification": "Misspecification of the observation",
    "observation": "Tests at one observation",
    "ridge": "The ridge",
    "nuisances": "Nuisances",
    "frequentist": "Credible and confidence",
    "weights": "Uncertainty of the weights",
}
# What takes too long at once is measured in parts, ``name-part``.
PARTS = {
    "correction": ("slcp", "two_moons", "bernoulli_glm"),
    "weights": ("linear", "slcp"),
}
EXPERIMENTS = [
    name if part is None else f"{name}-{part}"
    for name in TITLES
    for part in PARTS.get(name, (None,))
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "experiments", nargs="*", choices=[*EXPERIMENTS, []], metavar="EXPERIMENT"
    )
    parser.add_argument("--repetitions", type=int, default=500)
    arguments = parser.parse_args()
    unknown = set(arguments.experiments) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"Expected names among {EXPERIMENTS}; got {unknown}.")
    all_hold = True
    for name in arguments.experiments or EXPERIMENTS:
        begun = time.perf_counter()
        rows = []
        module, _, part = name.partition("-")
        given = (part,) if part else ()
        for row in import_module(module).measure(arguments.repetitions, *given):
            print(row, flush=True)
            rows.append(row.to_dict())
            all_hold &= bool(row.holds)
        seconds = round(time.perf_counter() - begun)
        # Read anew: another experiment may have ended in the meantime.
        results = stored()
        results[name] = {"rows": rows, "seconds": seconds}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(page(results), encoding="utf-8")
    return int(not all_hold)


def stored() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def page(results: dict) -> str:
    """Write the table as Markdown."""
    parts = [
        "# Trust, measured",
        INTRODUCTION,
    ]
    for name, title in TITLES.items():
        kept = [found for key, found in results.items() if key.startswith(name)]
        if not kept:
            continue
        parts += [f"## {title}", import_module(name).__doc__.partition("\n\n")[2]]
        lines = ["| Claim | Measured | Must be | |", "|---|---|---|---|"]
        for row in (row for found in kept for row in found["rows"]):
            mark = "holds" if row["holds"] else "**does not hold**"
            mark = "" if row["bound"] == "reported" else mark
            note = f" {row['note']}" if row["note"] else ""
            cells = f"{row['claim']}{note}", row["measured"], row["bound"], mark
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
