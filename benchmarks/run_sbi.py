"""Measure sbi's NPE on simulations from a file: ``run_sbi.py IN.npz OUT.npz``."""

import json
import os
import resource
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from clock import seconds
from sbi.diagnostics import run_sbc
from sbi.inference import NPE
from sbi.utils import BoxUniform
from torch.distributions import Independent, LogNormal, MultivariateNormal


def main(given: str, out: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    data = dict(np.load(given))
    torch.manual_seed(int(data["seed"]))
    theta, x, theta_test, x_test = (
        torch.as_tensor(data[name], dtype=torch.float32)
        for name in ("theta", "x", "theta_test", "x_test")
    )
    inference = NPE(
        prior=_prior(str(data["prior"]), data),
        density_estimator="nsf",
        show_progress_bars=False,
        summary_writer=_writer(),
    )
    begun = time.perf_counter()
    estimator = inference.append_simulations(theta, x).train()
    found = {"train_s": time.perf_counter() - begun, "compile_s": 0.0}
    posterior = inference.build_posterior(estimator)
    with torch.no_grad():
        parts = [
            estimator.log_prob(theta_test[i : i + 1000][None], x_test[i : i + 1000])
            for i in range(0, len(theta_test), 1000)
        ]
    found["nll"] = float(-torch.cat(parts, dim=1).mean())
    options = {"show_progress_bars": False}
    posterior.sample((100,), x=x_test[:1], **options)
    found["sample_10k_s"] = seconds(
        lambda: posterior.sample((10_000,), x=x_test[:1], **options)
    )
    found["batched_sample_s"] = seconds(
        lambda: posterior.sample_batched((1000,), x=x_test[:1000], **options)
    )
    many = theta_test[:1000], x_test[:1000], posterior
    calibration = {"num_posterior_samples": 1000, "show_progress_bar": False}
    found["sbc_s"] = seconds(lambda: run_sbc(*many, **calibration))
    found["coverage_s"] = seconds(
        lambda: run_sbc(*many, reduce_fns=posterior.log_prob, **calibration)
    )
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    draws = [
        posterior.sample((10_000,), x=torch.as_tensor(row)[None], **options).numpy()
        for row in data["x_obs"].astype(np.float32)
    ]
    np.savez(out, found=json.dumps(found), draws=np.array(draws))


def _prior(kind: str, data: dict) -> torch.distributions.Distribution:
    """Return the prior in torch's terms, from two arrays of the file."""
    first, second = (
        torch.as_tensor(data[name], dtype=torch.float32)
        for name in ("prior_first", "prior_second")
    )
    if kind == "uniform":
        return BoxUniform(first, second)
    if kind == "lognormal":
        return Independent(LogNormal(first, second), 1)
    return MultivariateNormal(first, second)


def _writer():
    """Keep the logs that sbi writes out of the working folder."""
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(tempfile.mkdtemp())


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(os.environ["PROCESSOR"])})
    main(*sys.argv[1:])
