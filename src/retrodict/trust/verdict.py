"""The records that a judgement consists of: checks, calibration curves, the verdict."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ..diagnostics import uniformity_p_value


Status = Literal["pass", "warn", "fail"]
Word = Literal["trusted", "caution", "rejected"]


@dataclass(frozen=True)
class Check:
    """One question put to a posterior, and its answer.

    Attributes:
        code: Stable name of the question, such as ``"marginal-width"``.
        status: ``"pass"``, ``"warn"`` or ``"fail"``.
        value: Size of the error found, in the unit its message names.
        threshold: Size from which it matters: the one crossed, or the lower one.
        message: What was found, in words, with the number and its threshold.
        remedy: What to do about it; empty for a pass.
    """

    code: str
    status: Status
    value: float
    threshold: float
    message: str
    remedy: str

    def to_dict(self) -> dict[str, str | float]:
        """Give the check as plain values for JSON."""
        return {
            "code": self.code,
            "status": self.status,
            "value": float(self.value),
            "threshold": float(self.threshold),
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, eq=False)
class Calibration:
    """Arrays that a report draws: everything the checks looked at.

    Attributes:
        names: Parameter components, in the order of the columns below.
        num_samples: Posterior draws per test simulation.
        ranks: Ranks of the truth among them, in ``[0, num_samples]``.
        pit: PIT values of the truth, in (0, 1); plot these, never the ranks.
        credible_levels: Nominal levels; also the grid of all curves below.
        coverage: Share of simulations whose highest-density region holds the truth.
        coverage_low: Simultaneous 95 % band of a calibrated posterior, lower end.
        coverage_high: Its upper end.
        central_coverage: The same share for central intervals, one column each.
        tarp_coverage: The same share for TARP regions.
        ecdf_grid: Points at which ECDF bands hold.
        ecdf_low: Simultaneous 95 % band of ECDF minus grid, lower end.
        ecdf_high: Its upper end.
        contraction: Share of prior variance removed by the data, per parameter.
        z_scores: Posterior mean minus truth, in posterior sds.
        log_score: Mean log q(theta* | x) in nats: higher is better between posteriors.
        width_if_known: Share of each posterior's width that would be left if the
            nuisances were known; None without nuisances.
    """

    names: tuple[str, ...]
    num_samples: int
    ranks: Int[np.ndarray, "num_sims theta_dim"]
    pit: Float[np.ndarray, "num_sims theta_dim"]
    credible_levels: Float[np.ndarray, " num_levels"]
    coverage: Float[np.ndarray, " num_levels"]
    coverage_low: Float[np.ndarray, " num_levels"]
    coverage_high: Float[np.ndarray, " num_levels"]
    central_coverage: Float[np.ndarray, "num_levels theta_dim"]
    tarp_coverage: Float[np.ndarray, " num_levels"]
    ecdf_grid: Float[np.ndarray, " num_levels"]
    ecdf_low: Float[np.ndarray, " num_levels"]
    ecdf_high: Float[np.ndarray, " num_levels"]
    contraction: Float[np.ndarray, " theta_dim"]
    z_scores: Float[np.ndarray, "num_sims theta_dim"]
    log_score: float
    width_if_known: Float[np.ndarray, " theta_dim"] | None = None

    def sbc_p_values(self) -> dict[str, float]:
        """Test the ranks of every parameter for uniformity."""
        columns = zip(self.names, self.pit.T, strict=True)
        return {name: uniformity_p_value(column) for name, column in columns}


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether a posterior can be trusted, and why.

    Attributes:
        verdict: ``"trusted"``, ``"caution"`` (some check warns) or ``"rejected"`` (some
            check fails).
        checks: All checks, also those passed.
        calibration: The arrays behind them.
        seed: Seed of the test simulations.
        num_simulations: Test simulations that entered.
    """

    verdict: Word
    checks: tuple[Check, ...]
    calibration: Calibration
    seed: int
    num_simulations: int

    @property
    def headline(self) -> str:
        """Say the verdict in one plain sentence."""
        number = len([c for c in self.checks if c.status != "pass"])
        of_all = f"{len(self.checks)} checks on {self.num_simulations} test simulations"
        if self.verdict == "trusted":
            return f"Trusted: {of_all} found no error large enough to matter."
        opening = "Caution" if self.verdict == "caution" else "Rejected"
        return f"{opening}: {number} of {of_all} found an error that matters."

    def to_dict(self) -> dict:
        """Give the verdict and its checks as plain values for JSON."""
        return {
            "verdict": self.verdict,
            "checks": [check.to_dict() for check in self.checks],
            "sbc_p": self.calibration.sbc_p_values(),
        }


def word_for(checks: tuple[Check, ...]) -> Word:
    """Turn checks into one word: the worst status decides."""
    statuses = {check.status for check in checks}
    if "fail" in statuses:
        return "rejected"
    return "caution" if "warn" in statuses else "trusted"
