"""Expected coverage and SBC of the benchmark's tasks, on fresh simulations.

One line a task: the area between expected coverage and the diagonal (below zero:
over-confident), with its standard error; the smallest p-value of the ranks of any
parameter, times their number; the seconds of training.
"""

import argparse
import json
from pathlib import Path

import jax.random as jr
import numpy as np
from scipy.stats import kstest

from retrodict.bench.methods import METHODS, Problem
from retrodict.bench.tasks import TASKS, load_task
from retrodict.diagnostics import hpd_levels, pit_values, sbc_ranks
from retrodict.simulations import simulate


def calibration(
    problem: Problem, method: str, num: int, num_draws: int
) -> dict[str, str | int | float]:
    """Train on one task and judge it by fresh simulations.

    Args:
        problem: Task, simulations to train on and seed of every random number.
        method: Name of a method of the benchmark.
        num: Fresh simulations.
        num_draws: Draws at each.
    """
    answer = METHODS[method](problem)
    seed = problem.seed
    tests = simulate(problem.model, num, seed=seed, stream="calibration").ok()
    keys = jr.split(jr.key(seed), 3)
    draws = answer.sample(keys[0], tests.x, num_draws)
    truth = tests.targets
    points = np.concatenate([truth[:, None], draws], axis=1)
    log_prob = answer.log_prob(points, tests.x)
    levels = hpd_levels(keys[1], log_prob[:, 0], log_prob[:, 1:])
    ranks = sbc_ranks(keys[2], truth, draws)
    pit = pit_values(jr.fold_in(keys[2], 1), ranks, num_draws)
    smallest = min(kstest(column, "uniform").pvalue for column in pit.T)
    return {
        "task": problem.model.name,
        "method": method,
        "budget": problem.budget,
        "simulations": len(truth),
        "coverage_auc": float(0.5 - levels.mean()),
        "standard_error": float(levels.std() / np.sqrt(len(levels))),
        "sbc_p": float(min(1.0, smallest * pit.shape[1])),
        "train_s": answer.train_s,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append", choices=sorted(TASKS))
    parser.add_argument("--method", action="append", choices=sorted(METHODS))
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    for task in given.task or TASKS:
        problem = Problem(load_task(task).model, given.budget, given.seed, "auto")
        for method in given.method or ["amortized"]:
            row = calibration(problem, method, given.num, given.draws)
            line = json.dumps(row)
            print(line, flush=True)
            with given.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
