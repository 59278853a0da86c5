"""Measure BayesFlow on simulations from a file: ``run_bayesflow.py IN.npz OUT.npz``.

Its basic workflow with a coupling flow of splines, trained offline for as many epochs
as the workflow does by default, with a tenth of the simulations held out.
"""

import json
import os
import resource
import sys
import time
import warnings

import numpy as np
from clock import seconds


EPOCHS = 100  # of the workflow's default
BATCH = 128


def main(given: str, out: str) -> None:
    warnings.simplefilter("ignore")
    os.environ["KERAS_BACKEND"] = "jax"
    import bayesflow as bf
    import keras

    data = dict(np.load(given))
    keras.utils.set_random_seed(int(data["seed"]))
    workflow = bf.BasicWorkflow(
        inference_network=bf.networks.CouplingFlow(transform="spline"),
        inference_variables=["theta"],
        inference_conditions=["x"],
        standardize="all",
    )
    rows = _rows(data["theta"], data["x"])
    held = len(data["theta"]) // 10
    begun = time.perf_counter()
    workflow.fit_offline(
        {k: v[held:] for k, v in rows.items()},
        epochs=EPOCHS,
        batch_size=BATCH,
        validation_data={k: v[:held] for k, v in rows.items()},
        verbose=0,
    )
    found = {"train_s": time.perf_counter() - begun, "compile_s": 0.0}
    test = _rows(data["theta_test"], data["x_test"])
    found["nll"] = float(-np.mean(workflow.log_prob(data=test)))
    one = {"x": test["x"][:1]}
    many = {"x": test["x"][:1000]}
    workflow.sample(num_samples=10_000, conditions=one)  # compiles
    found["sample_10k_s"] = seconds(
        lambda: workflow.sample(num_samples=10_000, conditions=one)
    )
    found["batched_sample_s"] = seconds(
        lambda: workflow.sample(num_samples=1000, conditions=many)
    )

    def sbc() -> np.ndarray:
        draws = workflow.sample(num_samples=1000, conditions=many)["theta"]
        return (draws < test["theta"][:1000, None]).sum(axis=1)

    found["sbc_s"] = seconds(sbc)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    draws = np.zeros(0)
    if len(data["x_obs"]):
        x_obs = {"x": data["x_obs"].astype(np.float32)}
        draws = workflow.sample(num_samples=10_000, conditions=x_obs)["theta"]
    np.savez(out, found=json.dumps(found), draws=draws)


def _rows(theta: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    return {"theta": theta.astype(np.float32), "x": x.astype(np.float32)}


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(os.environ["PROCESSOR"])})
    main(*sys.argv[1:])
