r"""From many tests to few checks with one known rate of false alarms.

A *finding* is one test of one subject (the width of one parameter, say): a p-value, and
the size of the error. Findings of one kind form a *group*, which becomes one check. A
finding counts only if it is both

- significant: :math:`p \le \alpha / (G\,F)` for G groups and F findings in its own
  (Bonferroni), so that a calibrated posterior meets any alarm at all with probability
  at most :math:`\alpha` = 2 %; and
- large enough to matter: its effect reaches the threshold of its kind. With enough test
  simulations every real network differs significantly from the truth.

Bonferroni is chosen over Holm's step-down rule because it lets each check be
understood by itself: its threshold does not depend on what the others found.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .verdict import Check


FAMILY_LEVEL = 0.02


@dataclass(frozen=True)
class Finding:
    """One test of one subject.

    Attributes:
        subject: What was tested: a parameter, a pair, or "" for the whole posterior.
        p_value: Exact or conservative p-value of "nothing is wrong".
        effect: Size of the error, at least 0, in the unit of the group.
        warn_at: Effect from which the check warns.
        fail_at: Effect from which it fails.
        message: What is wrong if it counts, in words, without size and threshold.
        remedy: What to do if it counts.
    """

    subject: str
    p_value: float
    effect: float
    warn_at: float
    fail_at: float
    message: str
    remedy: str


@dataclass(frozen=True)
class Group:
    """All findings of one kind.

    Attributes:
        code: Name of the check it becomes.
        findings: At least one.
        statement: What a pass states, without its number.
        unit: Writes an effect with its unit, such as ``words.points``.
    """

    code: str
    findings: tuple[Finding, ...]
    statement: str
    unit: Callable[[float], str]


def to_check(group: Group, num_groups: int) -> Check:
    """Decide one group: which findings count, and how the worst of them is told."""
    level = FAMILY_LEVEL / (num_groups * len(group.findings))
    counting = [f for f in group.findings if f.p_value <= level]
    counting = [f for f in counting if f.effect >= f.warn_at]
    if not counting:
        return _passed(group)
    # A failure outranks a larger effect that, for its kind, is still a warning.
    worst = max(counting, key=lambda f: (f.effect >= f.fail_at, f.effect))
    others = [f.subject for f in counting if f is not worst]
    failed = worst.effect >= worst.fail_at
    threshold = worst.fail_at if failed else worst.warn_at
    size, limit = group.unit(worst.effect), group.unit(threshold)
    return Check(
        code=group.code,
        status="fail" if failed else "warn",
        value=worst.effect,
        threshold=threshold,
        message=f"{worst.message} Off by {size}, threshold {limit}.{_also(others)}",
        remedy=worst.remedy,
    )


def _passed(group: Group) -> Check:
    largest = max(group.findings, key=lambda f: f.effect)
    size = group.unit(largest.effect)
    allowed = group.unit(largest.warn_at)
    where = f" ({largest.subject})" if largest.subject else ""
    noise = (
        ", which may be chance with so few test simulations"
        if largest.effect >= largest.warn_at
        else ""
    )
    message = f"{group.statement}: off by {size}{where}, threshold {allowed}{noise}."
    return Check(group.code, "pass", largest.effect, largest.warn_at, message, "")


def _also(subjects: list[str]) -> str:
    if not subjects:
        return ""
    more = f" and {len(subjects) - 5} more" if len(subjects) > 5 else ""
    return f" Also affected: {', '.join(subjects[:5])}{more}."
