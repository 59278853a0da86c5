"""Numbers as a reader wants them: rounded by their uncertainty."""

import math
import numbers
import re
from collections.abc import Iterable
from typing import Any


_MINUS = "\N{MINUS SIGN}"
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: Any, digits: int = 3) -> str:
    """Write a number with at most so many significant digits; ``–`` for None."""
    if value is None:
        return "–"
    if not _is_finite(value):
        return str(value)
    if isinstance(value, numbers.Integral) and abs(int(value)) < 10_000_000:
        digits_in_groups = f"{int(value):,}".replace("-", _MINUS)
        return digits_in_groups.replace(",", "\N{NARROW NO-BREAK SPACE}")
    value = float(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        text = f"{value:.{max(digits - 1 - exponent, 0)}f}"
        return _signed(text.rstrip("0").rstrip(".") if "." in text else text)
    return _scientific(value, digits - 1)


def rounded(value: Any, sd: Any) -> str:
    """Write a number to the second significant digit of its standard deviation."""
    if not (_is_finite(value) and _is_finite(sd) and sd > 0):
        return number(value)
    decimals = 1 - math.floor(math.log10(sd))
    exponent = math.floor(math.log10(max(abs(value), sd)))
    if decimals <= 7 and exponent < 6:
        return _signed(f"{value:.{max(decimals, 0)}f}")
    return _scientific(value, max(exponent + decimals, 0))


def seconds(value: Any) -> str:
    """Write a duration for people, such as ``0.4 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if not _is_finite(value):
        return str(value)
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, short = divmod(minutes, 60)
    return f"{hours} h {short} min" if hours else f"{minutes} min {rest} s"


def short(text: object, limit: int = 80) -> str:
    """Cut a text that would not fit, at ``limit`` characters.

    Marks that change the direction of writing are dropped: a name with one would turn
    the rest of the sentence around.
    """
    line = _DIRECTION.sub("", str(text))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Join names with commas, each cut to a readable length."""
    return ", ".join(short(n, 40) for n in names)


def prose(text: object, limit: int = 1500) -> str:
    """Cut a text at ``limit`` and keep every percent sign with its number."""
    return re.sub(r"(?<=\d) %", "\N{NARROW NO-BREAK SPACE}%", short(text, limit))


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and math.isfinite(value)


def _signed(text: str) -> str:
    # -0.00 reads as a number that is negative, which it is not.
    text = text[1:] if text.startswith("-") and not float(text) else text
    return text.replace("-", _MINUS)


def _scientific(value: float, decimals: int) -> str:
    mantissa, exponent = f"{value:.{min(decimals, 12)}e}".split("e")
    return f"{_signed(mantissa)}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
