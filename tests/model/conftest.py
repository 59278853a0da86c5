import jaxtyping
import pytest


@pytest.fixture
def without_type_checks():
    """Meet bad arguments as a user does, who has no type checker."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
