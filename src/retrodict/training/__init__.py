"""Losses, the compiled loop, schedules, ensembles."""

from .build import build_estimator
from .ensemble import Trained, train_ensemble
from .loss import npe_loss
from .settings import Settings, candidate_settings, default_settings


__all__ = [
    "Settings",
    "Trained",
    "build_estimator",
    "candidate_settings",
    "default_settings",
    "npe_loss",
    "train_ensemble",
]
