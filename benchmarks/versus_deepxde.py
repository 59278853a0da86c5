"""Measure retrodict's networks beside DeepXDE: the same problems, one thread each.

    python benchmarks/versus_deepxde.py heat --repeats 3
    python benchmarks/versus_deepxde.py lorenz --data DIR

DIR holds ``deepxde_Lorenz.npz``. The two take turns; medians are printed, times as
seconds of one processor, compilation included. The rival runs in an environment of its
own (``make bench-deepxde``).
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median


HERE = Path(__file__).parent
PEER = HERE.parent / ".venv-deepxde" / "bin" / "python"
STEPS = {"heat": 50_000, "lorenz": 60_000}  # those of the rival's own examples
TRUTH = {"heat": {"C": 1.0}, "lorenz": {}}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "RETRODICT_CACHE": "off",  # compile as on a fresh machine
}


def run(python, *words):
    """Run one library in a process of its own and return what it printed last."""
    pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0)))]
    done = subprocess.run(
        [*pinned, str(python), *map(str, words)],
        check=True,
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    """Let both solve a problem in turns and print errors and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=STEPS)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/pinn_inverse")
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--steps", type=int, help="of the rival; its example's if none")
    parser.add_argument("--peer", type=Path, default=PEER, help="its Python")
    options = parser.parse_args()
    steps = options.steps or STEPS[options.problem]
    rounds = {"retrodict": [], "deepxde": []}
    for _ in range(options.repeats):
        ours = (HERE / "twins.py", options.problem, "--data", options.data, "--json")
        rounds["retrodict"].append(run(sys.executable, *ours))
        theirs = (HERE / "run_deepxde.py", options.problem, options.data, steps)
        rounds["deepxde"].append(run(options.peer, *theirs))
    for name, found in rounds.items():
        theta = {k: median(r["theta"][k] for r in found) for k in found[0]["theta"]}
        line = ", ".join(f"{k} {v:.6g}" for k, v in theta.items())
        field = f", field {found[0]['field']:.1e}" if "field" in found[0] else ""
        seconds = median(r["seconds"] for r in found)
        print(f"{name}: {line}{field}; {seconds:.0f} s")


if __name__ == "__main__":
    main()
