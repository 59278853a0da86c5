"""Find repeated measurements: rows of equal law that x is made of.

Whoever measures four times under the same theta often hands over one vector. Where no
difference between its equal parts can be seen, in their own distribution or in how they
go with theta, the law of one part may be learned from all of them. Whether they have
more in common than theta shows in the noise that is left when theta is known.

Source: de Finetti (1937), La prévision, ses lois logiques, ses sources subjectives,
Annales de l'institut Henri Poincaré 7, 1 (exchangeability).
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import norm, rankdata


LEVEL = 0.01  # of all tests of one cut together
MIN_COUNT = 200  # simulations in which a difference would show
MAX_COUNT = 3000  # simulations that are enough
MAX_LENGTH = 32  # entries of a row
MAX_PRODUCTS = 2000  # of entries of two rows, over all rows that are compared
IN_COMMON = 0.3  # part by which the variance of a mean of all rows may be wrong


def repeated_rows(
    value: Float[np.ndarray, "n dim"], x: Float[np.ndarray, "n columns"]
) -> int:
    """Return of how many rows of equal law x is made, one after the other.

    Args:
        value: Theta.
        x: Entries of x.

    Returns:
        The largest number that no test speaks against; 1 where all do.
    """
    value, x = value[:MAX_COUNT], x[:MAX_COUNT]
    count, num_columns = x.shape
    if count < MIN_COUNT:
        return 1
    for length in range(1, min(num_columns // 2, MAX_LENGTH) + 1):
        rows = num_columns // length
        if rows * length == num_columns and _alike(value, x.reshape(count, rows, -1)):
            return rows
    return 1


def _alike(
    value: Float[np.ndarray, "n dim"], rows: Float[np.ndarray, "n rows length"]
) -> bool:
    """Say whether no row, and no two rows, differ from the mean of all."""
    ranks = _ranks(rows.reshape(-1, rows.shape[2])).reshape(rows.shape)
    theta = _ranks(value)
    beside = np.concatenate([np.ones((len(theta), 1)), theta, theta**2], axis=1)
    return _equal(_features(ranks), beside) and _equal(_pairs(ranks), beside[:, :1])


def _equal(
    features: Float[np.ndarray, "n rows features"],
    beside: Float[np.ndarray, "n responses"],
) -> bool:
    """Say whether features have equal means in all rows, alone and beside theta."""
    features = features - features.mean(1, keepdims=True)
    num_tests = features[0].size * beside.shape[1]
    bound = norm.isf(LEVEL / (4 * num_tests))  # two sides, of two such sets
    for response in beside.T:
        products = features * response[:, None, None]
        error = products.std(0) / np.sqrt(len(products))
        if (np.abs(products.mean(0)) > bound * error).any():
            return False
    return True


def _features(
    ranks: Float[np.ndarray, "n rows length"],
) -> Float[np.ndarray, "n rows features"]:
    """Return the entries of every row and their products."""
    first, second = np.triu_indices(ranks.shape[2])
    return np.concatenate([ranks, ranks[..., first] * ranks[..., second]], axis=2)


def _pairs(
    ranks: Float[np.ndarray, "n rows length"],
) -> Float[np.ndarray, "n pairs products"]:
    """Return products of entries of two rows, for all two, whichever comes first.

    Of some of them if there are many.
    """
    one, other = np.triu_indices(ranks.shape[1], 1)
    first, second = np.triu_indices(ranks.shape[2])
    step = -(-len(one) * len(first) // MAX_PRODUCTS)
    one, other = one[::step], other[::step]
    there = ranks[:, one][..., first] * ranks[:, other][..., second]
    back = ranks[:, other][..., first] * ranks[:, one][..., second]
    return there + back


def _ranks(columns: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, "n columns"]:
    """Return ranks within each column, from -1 to 1."""
    return 2 * rankdata(columns, axis=0) / len(columns) - 1.0


def have_more_in_common(noise: Float[np.ndarray, "n rows dim"]) -> bool:
    """Say whether rows of equal law depend on each other given theta.

    By correlations of two rows, averaged over all two, of their noise and of its size.
    The more rows, the less of it does harm: the mean of rows that are taken for
    independent has a variance too small by a factor of one and the number of the others
    times the correlation. Its standard error is about one over the number of rows and
    the root of half the simulations, so that 100 see dependence in one of ten data sets
    where there is none.

    Args:
        noise: What is left of each row when theta is known, standard normal.
    """
    count, rows, _ = noise.shape
    one, other = np.triu_indices(rows, 1)
    for feature in (noise, np.abs(noise)):
        z = feature - feature.mean((0, 1))
        z = z / z.std((0, 1))
        products = np.einsum("npi,npj->ij", z[:, one], z[:, other])
        mean = (products + products.T) / (2 * count * len(one))
        if not (np.abs(mean) <= IN_COMMON / (rows - 1)).all():  # or no number at all
            return True
    return False
