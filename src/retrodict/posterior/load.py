"""``load``: a posterior from its file."""

from pathlib import Path

from .artifact import read_artifact
from .posterior import Posterior


def load(path: str | Path) -> Posterior:
    """Read a posterior; nothing in the file is executed.

    Checksums, structure, finiteness and a stored prediction are verified first.

    Args:
        path: A file written by :meth:`Posterior.save`.

    Returns:
        A posterior whose predictions equal those of the saved one: to the bit on the
        same machine and versions.

    Raises:
        ArtifactError: If the file is missing, damaged, tampered with, or of a schema
            that this version does not know.
    """
    return Posterior(*read_artifact(Path(path)))
