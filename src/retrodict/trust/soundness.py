"""Checks of the test itself: were draws finite, did simulations succeed?

These count; they are no statistical tests and stand outside the family of them.
"""

from . import thresholds, words
from .verdict import Check, Status


def draws_check(num_unusable: int, num_rows: int) -> Check:
    """Count the test simulations whose draws or log-densities were not numbers."""
    share = num_unusable / max(num_rows, 1)
    status: Status = "pass"
    if share > thresholds.UNUSABLE_WARN:
        status = "fail" if share > thresholds.UNUSABLE_FAIL else "warn"
    failed = status == "fail"
    return Check(
        code="finite-draws",
        status=status,
        value=share,
        threshold=thresholds.UNUSABLE_FAIL if failed else thresholds.UNUSABLE_WARN,
        message=(
            f"{num_unusable} of {num_rows} test simulations gave draws or densities "
            "that are not finite numbers (threshold "
            f"{words.percent(thresholds.UNUSABLE_WARN)})."
        ),
        remedy=(
            ""
            if status == "pass"
            else "Look for extreme values of x or of the parameters in these "
            "simulations; a lower learning rate often cures a network that diverged."
        ),
    )


def simulations_check(num_failed: int, num_simulated: int) -> Check:
    """Count the test simulations that failed: no posterior speaks of those."""
    return _left_out(
        "simulations-succeed",
        num_failed / max(num_simulated, 1),
        thresholds.FAILED_SIMULATIONS_WARN,
        f"{num_failed} of {num_simulated} test simulations failed and were left out",
        "The posterior is conditional on the simulator succeeding. Mend the "
        "simulator or restrict the prior to where it works.",
    )


def reach_check(num_left_out: int, num_simulated: int) -> Check:
    """Count the test simulations of a cut prior whose posterior lies outside it."""
    return _left_out(
        "posterior-reaches",
        num_left_out / max(num_simulated, 1),
        thresholds.OUT_OF_REACH_WARN,
        f"For {num_left_out} of {num_simulated} simulations like x_obs nearly all of "
        "the posterior lies where no truth does, and they were left out",
        "Calibration is judged on the others alone. The posterior is wrong for those "
        "left out, or there are many targets: infer fewer at a time. "
        + words.MORE_SIMULATIONS,
    )


def _left_out(
    code: str, share: float, threshold: float, message: str, remedy: str
) -> Check:
    """Warn where more than a share of the test simulations does not count."""
    warns = share > threshold
    return Check(
        code=code,
        status="warn" if warns else "pass",
        value=share,
        threshold=threshold,
        message=f"{message} (threshold {words.percent(threshold)}).",
        remedy=remedy if warns else "",
    )
