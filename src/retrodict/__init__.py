"""Simulation-based inference: from a simulator and a prior to a posterior you trust."""

from .model import Axis, Baseline, Derived, Model, Nuisance, Prior, Study


__all__ = ["Axis", "Baseline", "Derived", "Model", "Nuisance", "Prior", "Study"]
