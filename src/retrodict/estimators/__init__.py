"""Conditional densities q(value | condition), embeddings, and scaling."""

from ._base import (
    AbstractDensity,
    AbstractEmbedding,
    AbstractFlow,
    Estimator,
    Frozen,
    trainable,
)
from .autoregressive import Autoregressive
from .cells import Cells
from .columns import Columns
from .convolution import Convolution, Joined
from .correlated import Correlated
from .deep_set import DeepSet
from .flow_matching import FlowMatching
from .independent import Independent
from .layered import AbstractLayeredFlow
from .local_average import LocalAverage
from .map_average import MapAverage
from .mixture_density import MixtureDensity
from .mlp import MLP
from .plain import Plain
from .recurrent import Recurrent
from .set_transformer import SetTransformer
from .spline_coupling import SplineCoupling
from .staged import SUMMARIES, Staged
from .standardize import (
    Affine,
    ChannelScaler,
    VectorScaler,
    apply_scalers,
    fit_scalers,
    standardized_shape,
)
from .transformer import Transformer


__all__ = [
    "AbstractDensity",
    "AbstractEmbedding",
    "AbstractFlow",
    "AbstractLayeredFlow",
    "Affine",
    "Autoregressive",
    "Cells",
    "ChannelScaler",
    "Columns",
    "Convolution",
    "Correlated",
    "DeepSet",
    "Estimator",
    "FlowMatching",
    "Frozen",
    "Independent",
    "Joined",
    "LocalAverage",
    "MLP",
    "MapAverage",
    "MixtureDensity",
    "Plain",
    "Recurrent",
    "SUMMARIES",
    "SetTransformer",
    "SplineCoupling",
    "Staged",
    "Transformer",
    "VectorScaler",
    "apply_scalers",
    "fit_scalers",
    "standardized_shape",
    "trainable",
]
