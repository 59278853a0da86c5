"""Judge a posterior of another library: sbi's NPE, with retrodict's verdict.

    make bench-peers example-sbi
    python examples/judge_sbi.py [--simulations 2000] [--seed 0]

`retrodict.validate` asks a posterior for two things, ``sample(key, xs, num_samples)``
and ``log_prob(theta, xs)``: the class `FromSbi` is all that sbi needs. The same model
is then answered by retrodict, and both are judged on the same test simulations.
"""

import argparse

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist

import retrodict as rd


def simulator(key, theta):
    """Return two moons: a crescent of points, shifted by a bent function of theta."""
    key_angle, key_radius = jr.split(key)
    angle = jr.uniform(key_angle, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
    radius = 0.1 + 0.01 * jr.normal(key_radius)
    crescent = jnp.stack([radius * jnp.cos(angle) + 0.25, radius * jnp.sin(angle)])
    a, b = theta["mu"]
    return crescent + jnp.stack([-jnp.abs(a + b), b - a]) / jnp.sqrt(2.0)


def model():
    """Return the model of both libraries."""
    box = dist.Uniform(-np.ones(2), np.ones(2)).to_event(1)
    return rd.Model(rd.Prior(mu=box), simulator, name="two_moons")


class FromSbi:
    """An sbi posterior with the two methods that `retrodict.validate` asks for.

    Args:
        estimator: What ``NPE(...).train()`` returned.
        box: sbi's prior, outside of which the density is zero.
    """

    def __init__(self, estimator, box):
        self.estimator, self.box = estimator, box

    def sample(self, key, xs, num_samples):
        """Draw for many observations, again where a draw leaves the prior."""
        import torch

        torch.manual_seed(int(jr.randint(key, (), 0, 2**31 - 1)))
        condition = torch.as_tensor(np.array(xs), dtype=torch.float32)
        kept = np.full((len(condition), num_samples, self.box.event_shape[0]), np.nan)
        with torch.no_grad():
            while np.isnan(kept).any():
                drawn = self.estimator.sample((num_samples,), condition=condition)
                drawn = drawn.swapaxes(0, 1)
                inside = self.box.support.check(drawn).numpy()
                fresh = inside & np.isnan(kept[..., 0])
                kept[fresh] = drawn.numpy()[fresh]
        return kept

    def log_prob(self, theta, xs):
        """Evaluate up to a constant per x: the mass that leaks out of the prior."""
        import torch

        condition = torch.as_tensor(np.array(xs), dtype=torch.float32)
        value = torch.as_tensor(np.array(theta), dtype=torch.float32)
        with torch.no_grad():
            found = self.estimator.log_prob(value.swapaxes(0, 1), condition=condition)
            inside = self.box.support.check(value).numpy()
        return np.where(inside, found.numpy().T, -np.inf)


def train_sbi(simulations, seed):
    """Train sbi's default network on the same simulations."""
    import torch
    from sbi.inference import NPE
    from sbi.utils import BoxUniform

    torch.manual_seed(seed)
    box = BoxUniform(-torch.ones(2), torch.ones(2))
    theta, x = (
        torch.as_tensor(np.array(values), dtype=torch.float32)
        for values in (simulations.targets, simulations.x)
    )
    inference = NPE(prior=box, show_progress_bars=False)
    return FromSbi(inference.append_simulations(theta, x).train(), box)


def report(name, verdict):
    """Print a verdict and what it rests on."""
    print(f"\n{name}: {verdict.headline}")
    for check in verdict.checks:
        if check.status != "pass":
            print(f"  {check.status}: {check.message}")


def main():
    """Train both, judge both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-sbi", action="store_true", help="judge sbi alone")
    given = parser.parse_args()
    simulations = rd.simulate(model(), given.simulations, seed=given.seed)
    theirs = train_sbi(simulations, given.seed)
    report("sbi", rd.validate(theirs, model(), seed=given.seed))
    if not given.only_sbi:
        ours = rd.fit(simulations, seed=given.seed)
        report("retrodict", rd.validate(ours, model(), seed=given.seed))


if __name__ == "__main__":
    main()
