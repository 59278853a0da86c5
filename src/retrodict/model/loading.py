"""Load a study from the user's own Python file."""

import importlib.util
import sys
import traceback
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from .._core.errors import ModelError, RetrodictError
from .model import Model
from .study import Study


def load_study(reference: str) -> Study:
    """Import ``path/to/model.py:name`` and return its study.

    Args:
        reference: Path of a Python file and the name of a :class:`Model` or
            :class:`Study` in it; without a name, ``study`` and then ``model``.

    Raises:
        ModelError: If the file is missing or raises, or the name is not there.
    """
    path, _, name = reference.partition(".py:")
    file = Path(path if path.endswith(".py") else path + ".py")
    module = import_file(file)
    names = [name] if name else ["study", "model"]
    found = [getattr(module, n) for n in names if hasattr(module, n)]
    if not found:
        models = [k for k, v in vars(module).items() if isinstance(v, Model | Study)]
        raise ModelError(
            f"{file}: Expected a Model or Study called {' or '.join(names)}; found "
            f"{models or 'none'}. Write for example {file}:{(models or ['model'])[0]}."
        )
    return as_study(found[0], str(file))


def as_study(value: object, where: str = "model") -> Study:
    """Return a study; a bare model becomes one without a baseline.

    Raises:
        ModelError: If it is neither.
    """
    if isinstance(value, Study):
        return value
    if isinstance(value, Model):
        return Study(model=value, title=value.name)
    raise ModelError(
        f"{where}: Expected a retrodict.Model or Study; got {type(value).__name__}."
    )


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
