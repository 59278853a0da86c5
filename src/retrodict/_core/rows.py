"""The randomness of one simulation in Python; imports no JAX, so workers start fast."""

import zlib

import numpy as np


def row_generator(seed: int, stream: str, index: int) -> np.random.Generator:
    """Return the NumPy generator of one simulation: a function of its arguments alone.

    Args:
        seed: Integer in [0, 2**63 - 1].
        stream: Name of the use of the seed, such as ``"simulate"``.
        index: Number of the simulation, from 0.
    """
    entropy = [seed, zlib.crc32(stream.encode()), index]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
