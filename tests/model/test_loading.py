import sys

import pytest

from retrodict._core.errors import DataError, ModelError
from retrodict.model import Model, Study, as_study, load_study


GOOD = """
import numpyro.distributions as dist
import retrodict as rd

def simulator(key, theta):
    return theta["a"]

model = rd.Model(rd.Prior(a=dist.Normal(0, 1)), simulator, name="small")
other = rd.Study(model=model, title="Other")
number = 3
"""


@pytest.fixture
def write(tmp_path):
    before = set(sys.modules)

    def write(text, name="world.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("retrodict_user_"):
            del sys.modules[name]


def test_a_model_or_study_is_found_by_name(write):
    path = write(GOOD)
    assert load_study(path).model.name == "small"
    assert load_study(f"{path}:model").title == "small"
    assert load_study(f"{path}:other").title == "Other"
    assert load_study(path.removesuffix(".py")).model.name == "small"


def test_a_study_comes_before_a_model(write):
    path = write(GOOD + "\nstudy = other\n")
    assert load_study(path).title == "Other"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = 1\nraise RuntimeError('no data')\n", r"line 2.*RuntimeError: no data"),
        ("def f(:\n", "SyntaxError"),
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        ("import sys\nsys.exit(3)\n", "line 2.*SystemExit: 3"),
        ("x = 1\n", "called study or model; found none"),
    ],
)
def test_a_file_that_cannot_be_used(write, text, match):
    path = write(text)
    with pytest.raises(ModelError, match=match):
        load_study(path)
    with pytest.raises(ModelError, match=match):  # a failed import is not remembered
        load_study(path)


def test_errors_of_the_library_keep_their_kind(write):
    bad = GOOD.replace('name="small"', "observed=[float('nan')]")
    with pytest.raises(DataError, match="x_obs"):
        load_study(write(bad))
    with pytest.raises(ModelError, match="is discrete"):
        load_study(write(GOOD.replace("Normal(0, 1)", "Poisson(1)"), "discrete.py"))


def test_names_that_are_not_there(write, tmp_path):
    path = write(GOOD)
    with pytest.raises(ModelError, match=r"called modle; found \['model', 'other'\]"):
        load_study(f"{path}:modle")
    with pytest.raises(ModelError, match=r"Expected a retrodict[.]Model.*; got int"):
        load_study(f"{path}:number")
    with pytest.raises(ModelError, match=r"absent\.py: no such file"):
        load_study(str(tmp_path / "absent.py:model"))


def test_as_study_keeps_a_study(write):
    study = load_study(write(GOOD) + ":other")
    assert isinstance(study, Study)
    assert isinstance(study.model, Model)
    assert as_study(study) is study
