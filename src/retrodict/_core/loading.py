"""Import a user's Python file by its path; light enough for worker processes."""

import importlib.util
import sys
import traceback
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from .errors import ModelError, RetrodictError


def import_file(file: Path) -> ModuleType:
    """Import a Python file by its path, once per process.

    Raises:
        ModelError: If it does not exist or raises on import (message names the line).
        RetrodictError: What the library itself found wrong in it, unchanged.
    """
    file = file.resolve()
    if not file.is_file():
        raise ModelError(
            f"{file}: no such file. Expected a world's name or path/to/model.py:name."
        )
    name = f"retrodict_user_{sha256(str(file).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RetrodictError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lines = traceback.extract_tb(error.__traceback__)
        own = [f.lineno for f in lines if f.filename == str(file)]
        line = f", line {own[-1]}" if own else ""
        raise ModelError(
            f"{file}{line}: importing the model raised {type(error).__name__}: {error}."
        ) from error
    return module
