import jax
import jax.numpy as jnp
import numpy as np

from retrodict.estimators._base import Dense
from retrodict.estimators.local_features import mean_features


def test_means_are_those_of_the_features_of_every_patch():
    """Against the definition, patch by patch, in float64."""
    rng = np.random.RandomState(0)
    weight, bias = rng.standard_normal((12, 5)), rng.standard_normal(12)
    patches = 1 + rng.standard_normal((7, 6, 5))
    features = []
    for patch in patches.reshape(-1, 5):
        one, two, three = np.split(weight @ patch + bias, 3)
        features.append([*one * two, *three / (1 + np.exp(-three))])
    with jax.enable_x64(True):
        layer = Dense(jnp.asarray(weight), jnp.asarray(bias))
        found = mean_features(layer, jnp.asarray(patches))
    np.testing.assert_allclose(found, np.mean(features, axis=0), rtol=1e-12)
