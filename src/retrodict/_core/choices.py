"""Refuse a word that is not among those known, and suggest the nearest."""

import difflib
from collections.abc import Iterable

from .errors import ModelError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_choice(
    argument: str, word: str, known: Iterable[str], others: str = ""
) -> None:
    """Refuse a word that is not among those known.

    Args:
        argument: What the word was given for.
        word: The word.
        known: The words there are.
        others: What else would be accepted, as the end of a list.

    Raises:
        ModelError: Naming the argument, the word and the likely right one.
    """
    known = list(known)
    if word not in known:
        hint = did_you_mean(word, known)
        raise ModelError(
            f"{argument}: Expected one of {known}{others}; got {word!r}.{hint}"
        )
