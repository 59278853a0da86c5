"""The command line: parsing and printing only.

``main`` is all that is imported at start; each command imports what it needs, so that
``--help`` answers at once.
"""

from .main import main


__all__ = ["main"]
