"""Conditional densities q(value | condition), embeddings, and scaling."""

from ._base import AbstractDensity, AbstractEmbedding, Estimator, Frozen, trainable
from .columns import Columns
from .convolution import Convolution, Joined
from .local_average import LocalAverage
from .map_average import MapAverage
from .mlp import MLP
from .spline_coupling import SplineCoupling
from .standardize import Affine, ChannelScaler, VectorScaler, apply_scalers, fit_scalers


__all__ = [
    "AbstractDensity",
    "AbstractEmbedding",
    "Affine",
    "ChannelScaler",
    "Columns",
    "Convolution",
    "Estimator",
    "Frozen",
    "Joined",
    "LocalAverage",
    "MLP",
    "MapAverage",
    "SplineCoupling",
    "VectorScaler",
    "apply_scalers",
    "fit_scalers",
    "trainable",
]
