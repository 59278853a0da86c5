"""From one integer seed to every random number of a run.

A run owns one seed. Each use of randomness has a *stream* of its own, and each
simulation a key that depends on nothing but ``(seed, stream, index)``: any number of
workers, in any order, draws the same numbers.
"""

import zlib

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key


MAX_SEED = 2**63 - 1


def check_seed(seed: int, name: str = "seed") -> int:
    """Return ``seed`` as an int, or say what a seed must be.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is negative or does not fit in 63 bits.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(
            f"{name}: Expected an integer; got {seed!r}. Pass for example {name}=0."
        )
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{name}: Expected an integer in [0, 2**63 - 1]; got {seed}.")
    return int(seed)


def stream_key(seed: int, stream: str) -> Key[Array, ""]:
    """Return the key of one named stream of a seed.

    The generator is named explicitly, so that a user's own choice of JAX's default
    generator does not change the numbers of a campaign; the seed enters whole (JAX
    itself would drop its upper half when 64-bit types are off).

    Args:
        seed: Integer in [0, 2**63 - 1].
        stream: Name of the use, such as ``"simulate"`` or ``"fit"``.
    """
    seed = check_seed(seed)
    words = np.array([seed >> 32, seed & 0xFFFFFFFF], dtype=np.uint32)
    root = jr.wrap_key_data(jax.numpy.asarray(words), impl="threefry2x32")
    return jr.fold_in(root, np.uint32(zlib.crc32(stream.encode())))


def numpy_generator(key: Key[Array, ""]) -> np.random.Generator:
    """Return a NumPy generator seeded by a JAX key, for work done on the host."""
    words = np.asarray(jr.key_data(key)).ravel().tolist()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
