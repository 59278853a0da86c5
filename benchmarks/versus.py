"""Measure retrodict beside a peer: the same simulations, one pinned thread each."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

import retrodict as rd
from retrodict.bench import read_observations
from retrodict.bench.tasks import TASKS, load_task
from retrodict.diagnostics import c2st


HERE = Path(__file__).parent
NUM_TEST = 10_000
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "RETRODICT_CACHE": "off",  # compile as on a fresh machine
}
PRIORS = {
    "gaussian_linear_uniform": "uniform",
    "gaussian_mixture": "uniform",
    "two_moons": "uniform",
    "slcp": "uniform",
    "slcp_distractors": "uniform",
    "sir": "lognormal",
    "lotka_volterra": "lognormal",
}


def compare(peer: str, environment: str) -> None:
    """Read the options, measure both, write the file and print the ratios.

    Args:
        peer: Name of the peer; ``run_<peer>.py`` measures it.
        environment: Folder of its environment, beside ``benchmarks``.
    """
    options = _options(peer)
    python = HERE.parent / environment / "bin" / "python"
    if not python.exists():  # before our half has run for minutes
        sys.exit(f"{python}: Expected the environment of {peer}; `make help` names it.")
    with tempfile.TemporaryDirectory() as folder:
        given, reference = _write_simulations(options, Path(folder))
        rounds = [_round(given, peer, python) for _ in range(options.repeats)]
    results = {name: _merge([r[name] for r in rounds], reference) for name in rounds[0]}
    ours, theirs = results["ours"], results[peer]
    ours[f"seconds_to_{peer}_nll"] = _seconds_to(ours, theirs["nll"])
    for result in results.values():
        result.pop("held_out", None)
    results = {"task": options.task, "budget": options.budget} | results
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    _print(results, peer)


def _round(given: Path, peer: str, python: Path) -> dict[str, dict]:
    return {
        "ours": _run(sys.executable, "run_ours.py", given, "fast"),
        peer: _run(str(python), f"run_{peer}.py", given),
        "ours_auto": _run(sys.executable, "run_ours.py", given, "auto"),
    }


def _options(peer: str) -> argparse.Namespace:
    default = os.environ.get("RETRODICT_DATA", "../shared/data")
    parser = argparse.ArgumentParser(description=f"Measure retrodict beside {peer}.")
    parser.add_argument("--task", required=True, choices=list(TASKS))
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(default) / "sbibm")
    parser.add_argument("--observations", type=int, help="how many for the C2ST")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _write_simulations(
    options: argparse.Namespace, folder: Path
) -> tuple[Path, np.ndarray]:
    """Write what both libraries are given; return the reference draws beside it."""
    model = load_task(options.task).model
    train = rd.simulate(model, options.budget, seed=options.seed)
    test = rd.simulate(model, NUM_TEST, seed=options.seed, stream="versus test")
    x_obs, reference = np.zeros((0, *np.shape(train.x)[1:])), np.zeros(0)
    if (options.data / f"{options.task}.npz").is_file():
        found = read_observations(options.data, options.task)
        x_obs = found.x_obs[: options.observations]
        reference = found.reference[: options.observations]
    kind, first, second = _prior(options.task, model)
    np.savez(
        folder / "given.npz",
        task=options.task,
        seed=options.seed,
        theta=train.targets,
        x=np.asarray(train.x),
        theta_test=test.targets,
        x_test=np.asarray(test.x),
        x_obs=x_obs,
        prior=kind,
        prior_first=first,
        prior_second=second,
    )
    return folder / "given.npz", reference


def _prior(task: str, model: rd.Model) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the prior's kind and its two arrays, measured on many draws."""
    kind = PRIORS.get(task, "normal")
    import jax.random as jr

    draws = model.flatten(model.prior.sample(jr.key(0), 100_000))
    if kind == "uniform":
        edge = np.ceil(np.abs(draws).max(0))
        return kind, -edge, edge
    if kind == "lognormal":
        return kind, np.log(draws).mean(0), np.log(draws).std(0)
    return kind, draws.mean(0), np.cov(draws.T)


def _run(python: str, script: str, given: Path, *more: str) -> dict:
    """Run one library on the last processor; return what it found."""
    out = given.parent / "found.npz"
    pinned = {"PROCESSOR": str(max(os.sched_getaffinity(0)))}
    subprocess.run(
        [python, str(HERE / script), str(given), str(out), *more],
        check=True,
        env=os.environ | ONE_THREAD | pinned,
    )
    with np.load(out) as file:
        return json.loads(str(file["found"])) | {"draws": file["draws"]}


def _merge(rounds: list[dict], reference: np.ndarray) -> dict:
    """Take medians of the numbers, and score the draws of the first round."""
    first = rounds[0]
    merged = {
        name: median(r[name] for r in rounds) if isinstance(value, float) else value
        for name, value in first.items()
        if name != "draws"
    }
    scores = [c2st(a, b) for a, b in zip(reference, first["draws"], strict=False)]
    return merged | {"c2st": float(np.mean(scores)) if scores else None}


def _seconds_to(ours: dict, nll: float) -> float | None:
    """Return when our loss first reached another's, compilation apart.

    The curve is of few held-out simulations; its best is moved to the loss on the test.
    """
    curve = np.array(ours["held_out"])
    reached = np.flatnonzero(curve - curve.min() + ours["nll"] <= nll)
    if not len(reached):
        return None
    share = (reached[0] + 1) / ours["epochs"]
    return float(share * (ours["train_s"] - ours["compile_s"]))


def _print(results: dict, peer: str) -> None:
    theirs = results[peer]
    names = [name for name in theirs if isinstance(theirs[name], float)]
    print(f"{results['task']}, {results['budget']} simulations")
    print(f"{'':<24}{'ours':>10}{'auto':>10}{peer:>10}{'ratio':>10}")
    for name in names:
        ours, auto, other = (results[k][name] for k in ("ours", "ours_auto", peer))
        ratio = f"{other / ours:10.1f}" if name.endswith("_s") and ours else ""
        print(f"{name:<24}{ours:10.3f}{auto:10.3f}{other:10.3f}{ratio}")
    name = f"seconds_to_{peer}_nll"
    seconds = results["ours"][name]
    if seconds:
        print(f"{name:<24}{seconds:10.3f}{'':>20}{theirs['train_s'] / seconds:10.1f}")
