"""Vectors as their components: ``mu`` becomes ``mu[0]`` and ``mu[1]``."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def component_draws(draws: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Split draws ``(n, *shape)`` of named quantities into components ``(n,)``."""
    parts = {}
    for name, given in draws.items():
        values = np.asarray(given)
        if values.ndim == 1:
            parts[name] = values
            continue
        for index in np.ndindex(*values.shape[1:]):
            word = f"{name}[{','.join(map(str, index))}]"
            parts[word] = values[(slice(None), *index)]
    return parts


def component_words(
    names: Mapping[str, Any] | list[str], words: Mapping[str, str]
) -> dict[str, str]:
    """Give every component the label (or unit) of the quantity it belongs to.

    A word that stands for a component itself is kept.

    Args:
        names: Names of components.
        words: Label or unit by the name of a quantity or a component.
    """
    found = {}
    for name in names:
        base, bracket, index = name.partition("[")
        word = words.get(name, words.get(base, ""))
        found[name] = f"{word}[{index}" if bracket and word == base else word
    return found
