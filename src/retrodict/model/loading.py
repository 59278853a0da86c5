"""Load a study from the user's own Python file."""

from pathlib import Path

from .._core.errors import ModelError
from .._core.loading import import_file
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
