"""Measure retrodict on given simulations: ``run_ours.py IN.npz OUT.npz EFFORT``."""

import json
import os
import resource
import sys
import time

import numpy as np
from clock import seconds


def main(given: str, out: str, effort: str) -> None:
    data = dict(np.load(given))
    task = str(data["task"])

    import jax.random as jr

    import retrodict as rd
    from retrodict.bench.tasks import load_task
    from retrodict.diagnostics import hpd_levels

    sims = rd.simulate(
        load_task(task).model, len(data["theta"]), seed=int(data["seed"])
    )
    np.testing.assert_array_equal(np.asarray(sims.x), data["x"])
    fit = rd.fit  # imported on first use, which is not training
    begun = time.perf_counter()
    posterior = fit(sims, seed=int(data["seed"]), effort=effort)
    wall = time.perf_counter() - begun
    record = posterior.record
    theta, x = data["theta_test"], data["x_test"]
    log_prob = posterior.log_prob(theta[:, None], x)[:, 0]
    found = {
        "train_s": wall,
        "compile_s": record.compile_s,
        "nll": float(-log_prob.mean()),
        "epochs": len(record.validation),
        "held_out": record.validation.mean(axis=1).tolist(),
    }
    at = posterior.at(x[0])
    at.sample(jr.key(0), 10_000)  # compiles
    found["sample_10k_s"] = seconds(lambda: at.sample(jr.key(1), 10_000))
    many = x[:1000]
    begun = time.perf_counter()
    posterior.sample(jr.key(0), many, 1000)
    found["batched_sample_first_s"] = time.perf_counter() - begun
    found["batched_sample_s"] = seconds(lambda: posterior.sample(jr.key(1), many, 1000))

    def sbc() -> np.ndarray:
        draws = posterior.sample(jr.key(2), many, 1000)
        return (draws < theta[:1000, None]).sum(axis=1)

    def coverage() -> np.ndarray:
        draws = posterior.sample(jr.key(2), many, 1000)
        points = np.concatenate([theta[:1000, None], draws], axis=1)
        log_prob = posterior.log_prob(points, many)
        return hpd_levels(jr.key(3), log_prob[:, 0], log_prob[:, 1:])

    found["sbc_s"] = seconds(sbc)
    coverage()  # compiles
    found["coverage_s"] = seconds(coverage)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    draws = np.zeros(0)
    if len(data["x_obs"]):
        draws = posterior.sample(jr.key(3), data["x_obs"], 10_000)
    np.savez(out, found=json.dumps(found), draws=draws)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(os.environ["PROCESSOR"])})
    main(*sys.argv[1:])
