"""Bernoulli generalized linear model, raw: the filter from the spikes themselves.

x is the series of 100 zeros and ones. The posterior is that of the task bernoulli_glm,
because the data of that task are sufficient statistics of these.

Source: Lueckmann et al. (2021), arXiv:2101.04653, appendix T.6.
"""

import numpy as np

from ...model import Axis, Model, Study
from ._study import task_study
from .bernoulli_glm import NUM_BINS, prior, spikes


def study() -> Study:
    """Build the study of the task."""
    return task_study(
        Model(prior(), spikes, name="bernoulli_glm_raw"),
        "Bernoulli generalized linear model, raw",
        """A neuron spikes or not in each of 100 bins, driven by a filtered stimulus.
        The filter is inferred from the spikes as they are: a method must find the
        statistics that matter by itself.""",
        axis=Axis(np.arange(NUM_BINS), "bin", "spike"),
    )
