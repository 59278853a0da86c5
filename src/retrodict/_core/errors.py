"""The errors a user can meet, each with the exit code the command line gives it.

Wrong arguments of a library function raise ``ValueError`` or ``TypeError``. The
classes here are for what goes wrong with the user's model, data, files or machine.
"""

from typing import ClassVar


class RetrodictError(Exception):
    """Base of all errors that retrodict raises about models, data and files.

    Attributes:
        exit_code: What the command line exits with when this error ends it.
    """

    exit_code: ClassVar[int] = 70


class ModelError(RetrodictError):
    """The model (prior, simulator, derived quantities, configuration) is wrong."""

    exit_code = 2


class DataError(RetrodictError):
    """An observation, a set of simulations or a data file cannot be used."""

    exit_code = 65


class ArtifactError(DataError):
    """A saved posterior is damaged, tampered with, or of an unknown kind.

    Attributes:
        code: Stable, machine-readable reason, such as ``"checksum"``.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{message} [{code}]")
        self.code = code


class StorageError(RetrodictError):
    """Reading or writing failed for a reason outside the program."""

    exit_code = 74


class InterruptedRun(RetrodictError):
    """The run was stopped by a signal; the same command resumes it."""

    exit_code = 75
