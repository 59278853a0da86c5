"""Is it a posterior of this model?"""

from typing import Any

from .._core.errors import ModelError
from ..model import Model


def check_fits(posterior: Any, model: Model) -> None:
    """Refuse a posterior of other targets than the model's.

    Args:
        posterior: Anything; without ``names`` it is not looked at.
        model: The model.

    Raises:
        ModelError: If its names are others.
    """
    names = tuple(getattr(posterior, "names", model.target_names))
    if names != tuple(model.target_names):
        raise ModelError(
            f"posterior: Expected one of {list(model.target_names)}, the targets of "
            f"{model.name}; got one of {list(names)}. Train it anew."
        )
