"""Apply a compiled function to many rows, in chunks of one shape."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


def in_chunks(
    size: int, function: Callable[..., Any], network: PyTree, *rows: PyTree
) -> np.ndarray:
    """Return the rows of ``function(network, *rows)``.

    Args:
        size: Rows of one call.
        function: Compiled, with one row of its result for each row of its arguments.
        network: Its first argument.
        rows: Arrays, or dictionaries of arrays, of one length.
    """
    count = len(jax.tree.leaves(rows)[0])
    out = []
    for start in range(0, count, size):
        index = np.arange(start, start + size).clip(max=count - 1)
        part = jax.tree.map(lambda values, index=index: values[index], rows)
        out.append(np.asarray(function(network, *part)))
    return np.concatenate(out)[:count]
