"""One row of the measured table."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One claim and the number measured for it.

    Attributes:
        claim: What is claimed, in words.
        measured: The number, formatted.
        bound: What it has to be, formatted.
        holds: Whether it is.
        note: How it was measured.
    """

    claim: str
    measured: str
    bound: str
    holds: bool
    note: str = ""

    def to_dict(self) -> dict:
        return asdict(self) | {"holds": bool(self.holds)}


def rate(claim: str, count: int, of: int, *, least=None, most=None, note="") -> Row:
    """Make a row of a share of repetitions."""
    share = count / of
    holds = (least is None or share >= least) and (most is None or share <= most)
    bound = f"≥ {least:.0%}" if least is not None else f"≤ {most:.0%}"
    return Row(claim, f"{share:.1%} ({count} of {of})", bound, holds, note)
