"""Losses, the compiled loop, schedules, checkpoints, ensembles."""

from .build import build_estimator
from .checkpoint import checkpointing, forget_checkpoints
from .ensemble import Race, Trained, race, shared_held_out, train_ensemble
from .loss import npe_loss
from .settings import (
    Settings,
    candidate_settings,
    default_settings,
    num_raced,
)
from .surrogate import Surrogate, fit_surrogate


__all__ = [
    "Race",
    "Settings",
    "Surrogate",
    "Trained",
    "build_estimator",
    "candidate_settings",
    "checkpointing",
    "default_settings",
    "fit_surrogate",
    "forget_checkpoints",
    "npe_loss",
    "num_raced",
    "race",
    "shared_held_out",
    "train_ensemble",
]
