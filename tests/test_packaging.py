"""The two commands: locks that are fresh and portable, targets that exist."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from source import REPOSITORY


LOCKS = sorted((REPOSITORY / "requirements").glob("*.lock"))
EXTRAS = {"test": {"test"}, "dev": {"test", "dev", "docs"}}


def _pyproject() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(path: Path) -> dict[str, Version]:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def test_there_are_locks():
    assert [path.stem for path in LOCKS] == ["all", "dev", "test"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_lock_holds_what_is_declared(path: Path):
    """A requirement added to pyproject.toml needs `make lock`."""
    project = _pyproject()["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *_pyproject()["dependency-groups"]["build"]]
    for extra in EXTRAS.get(path.stem, set(extras)):
        lines += extras[extra]
    pins = _pins(path)
    for requirement in map(Requirement, lines):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} is not in {path.name}: run make lock"
        if requirement.marker is None or requirement.marker.evaluate():
            assert pin in requirement.specifier, f"{requirement}: {pin} in {path.name}"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_lock_is_portable_and_hashed(path: Path):
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-|/|file:|\w+ @)(?!-hash)", text, re.MULTILINE)
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    unhashed = [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert not unhashed


def test_locks_agree():
    everything = _pins(REPOSITORY / "requirements" / "all.lock")
    for path in LOCKS:
        pins = _pins(path)
        assert pins == {name: everything[name] for name in pins}


def test_documented_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    used = {
        target
        for page in [*pages, REPOSITORY / ".ci" / "run"]
        for target in re.findall(
            r"(?:^|`|step )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.M
        )
    }
    assert {"demo", "test"} <= used
    assert used <= targets, f"No such make target: {sorted(used - targets)}"


def test_ci_runs_the_tests_from_scratch():
    path = REPOSITORY / ".ci" / "run"
    assert path.stat().st_mode & 0o111, "not executable"
    text = path.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert "make test" in text
