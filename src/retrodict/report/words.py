"""The verdict in the words of a reader who is no statistician."""

from dataclasses import dataclass

from ..trust import Check, Verdict
from .content import ReportContent
from .text import number


@dataclass(frozen=True)
class Headline:
    """The banner of the page.

    Attributes:
        kind: ``"trusted"``, ``"caution"``, ``"rejected"`` or ``"unchecked"``.
        title: The verdict as a short sentence.
        meaning: What it means for whoever wants to use the numbers.
        evidence: What was done to find out.
    """

    kind: str
    title: str
    meaning: str
    evidence: str


_TITLES = {
    "trusted": "This answer can be trusted",
    "caution": "Use this answer with caution",
    "rejected": "Do not use this answer",
    "unchecked": "This answer has not been checked",
}
_MEANINGS = {
    "trusted": "The error bars below are honest: on data simulated from known "
    "parameters, they held the truth as often as they say. This speaks for the "
    "inference, not for the model: whether the model fits your data is the next "
    "question.",
    "caution": "The answer is usable, but a check found an error that is "
    "real and large enough to matter. Read the error bars as approximate, and see "
    "below in which direction they are off.",
    "rejected": "A check failed: on data simulated from known parameters, "
    "the method missed the truth far more often, or in a different way, than its error "
    "bars admit. The numbers below are shown to help find the cause, not to be "
    "reported.",
    "unchecked": "No calibration was run, so nobody knows whether the error bars are "
    "right. Run `retrodict validate` before reporting these numbers.",
}

STATUS_WORDS = {"pass": "passed", "warn": "caution", "fail": "failed"}


def headline(content: ReportContent) -> Headline:
    """Put the verdict into words.

    Args:
        content: What the report shows.

    Returns:
        The banner; a verdict of None is ``"unchecked"``.
    """
    verdict = content.verdict
    kind = "unchecked" if verdict is None else verdict.verdict
    title = _TITLES[kind]
    if kind == "trusted" and content.warnings:
        title += ", but look at the warning about your data"
    return Headline(kind, title, _MEANINGS[kind], _evidence(content))


def informed_words(content: ReportContent) -> list[tuple[str, tuple[str, ...]]]:
    """List what the data inform: a title, and the sentences below it."""
    found = content.informed
    if found is None:
        return []
    nothing = ("All parameters are known better than before, none of them well.",)
    parts = [
        ("At your observation.", found.here.sentences or nothing),
        ("On average over simulations.", found.average.sentences or nothing),
    ]
    if found.nuisance_sentence:
        parts.append(("Nuisances.", (found.nuisance_sentence,)))
    if found.symmetry_sentence:
        parts.append(("Symmetry.", (found.symmetry_sentence,)))
    return parts


def checks_by_weight(verdict: Verdict | None) -> tuple[list[Check], list[Check]]:
    """Split the checks into those to read (worst first) and those that passed."""
    checks = list(verdict.checks) if verdict is not None else []
    order = {"fail": 0, "warn": 1}
    open_ = [c for c in checks if c.status in order]
    open_.sort(key=lambda c: order[c.status])
    return open_, [c for c in checks if c.status not in order]


def rounds_words(content: ReportContent) -> str:
    """Say how the simulations of several rounds were spent; empty for one round."""
    if not content.rounds:
        return ""
    weighed = ""
    if "efficiency" in content.rounds:
        weighed = (
            " Draws of the networks were weighed by a likelihood learned from the last "
            f"round; {content.rounds['efficiency']:.0%} of them count."
        )
    return (
        f"They are the first of {content.rounds['number']:.0f} rounds, "
        f"{number(content.rounds['budget'])} runs in all. Each later round drew its "
        "parameters nearer to your observation, the last from "
        f"{content.rounds['mass']:.1g} of the prior. The posterior holds for this "
        f"observation, and for no other.{weighed}"
    )


def _evidence(content: ReportContent) -> str:
    verdict = content.verdict
    if verdict is None:
        return ""
    checks = list(verdict.checks)
    passed = sum(c.status == "pass" for c in checks)
    noun = "check" if len(checks) == 1 else "checks"
    like = ", all of them like your data" if content.rounds else ""
    return (
        f"{passed} of {len(checks)} {noun} passed, on "
        f"{number(verdict.num_simulations)} test simulations with known truth{like}."
    )
