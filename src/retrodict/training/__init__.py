"""Losses, the compiled loop, schedules, checkpoints, ensembles."""

from .build import build_estimator, is_staged
from .checkpoint import checkpointing, forget_checkpoints
from .ensemble import Race, Trained, race, shared_held_out, train_ensemble
from .fit_surrogate import fit_surrogate
from .loss import npe_loss
from .settings import (
    DENSITIES,
    Settings,
    brief_settings,
    candidate_settings,
    default_settings,
    fast_settings,
    num_sharing,
)
from .staged import train_staged
from .surrogate import Surrogate


__all__ = [
    "DENSITIES",
    "Race",
    "Settings",
    "Surrogate",
    "Trained",
    "brief_settings",
    "build_estimator",
    "candidate_settings",
    "checkpointing",
    "default_settings",
    "fast_settings",
    "fit_surrogate",
    "forget_checkpoints",
    "is_staged",
    "npe_loss",
    "num_sharing",
    "race",
    "shared_held_out",
    "train_ensemble",
    "train_staged",
]
