"""Compare the densities, and declared structure, at 2000 simulations.

One network of each kind is trained twice with the default settings for the budget; the
second time its programs are compiled already, and the processor time is measured.

    python benchmarks/densities.py
"""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import retrodict as rd
from retrodict.bench.tasks import slcp, two_moons
from retrodict.training import default_settings
from retrodict.training.settings import DENSITIES


NUM_SIMULATIONS, NUM_TEST = 2000, 2000


def exchangeable_slcp() -> rd.Model:
    """Return the task with its four points declared exchangeable."""
    base = slcp.study().model

    def simulator(key, theta):
        return base.simulator.function(key, theta).reshape(4, 2)

    return rd.Model(base.prior, simulator, structure="exchangeable", name="slcp_set")


def cases() -> Iterator[tuple[str, rd.Model, str, rd.Settings]]:
    """Yield task, model, what is varied and settings."""
    for task, model in (
        ("two_moons", two_moons.study().model),
        ("slcp", slcp.study().model),
    ):
        base = default_settings(NUM_SIMULATIONS, model.targets.dim, num_members=1)
        base = replace(base, epochs=2 * base.epochs, learning_rate=3e-3)
        for density in DENSITIES:
            yield task, model, density, replace(base, density=density)
    sets = exchangeable_slcp()
    for name in ("deep_set", "set_transformer"):
        yield "slcp", sets, name, replace(base, set_embedding=name)


def main() -> None:
    """Print one line per case: held-out nats of both trainings, processor seconds."""
    print("| task | density or embedding | held-out nats | training, CPU s |")
    print("|---|---|---|---|")
    for task, model, name, settings in cases():
        test = rd.simulate(model, NUM_TEST, seed=99)
        scores, seconds = [], 0.0
        for seed in (0, 1):
            simulations = rd.simulate(model, NUM_SIMULATIONS, seed=seed)
            begun = time.process_time()
            posterior = rd.fit(simulations, seed=seed, settings=settings)
            seconds = time.process_time() - begun
            log_prob = posterior.log_prob(test.targets[:, None], test.x)
            scores.append(float(np.mean(log_prob)))
        both = ", ".join(f"{score:.2f}" for score in scores)
        print(f"| {task} | {name} | {both} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
