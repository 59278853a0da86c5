"""Nothing in the documentation that has not been executed, and nothing left out."""

import doctest
import functools
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

import retrodict as rd
from source import REPOSITORY, sources


sys.path.insert(0, str(REPOSITORY / "docs" / "_ext"))
import reference_pages


PAGES = sorted(
    path.relative_to(REPOSITORY)
    for path in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    if not {"_build", "generated"} & set(path.parts)
)
PAGE_IDS = [str(page) for page in PAGES]


@functools.cache
def _text(page: Path) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


# --- code blocks ----------------------------------------------------------------------

BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Code:
    """One fenced block, with the note in the comment above it."""

    language: str
    line: int
    code: str
    note: str

    def for_test(self) -> str:
        """Return the code with the replacements of ``tested with: old = new; ...``."""
        code = self.code
        if self.note.startswith("tested with:"):
            for change in self.note.removeprefix("tested with:").split("; "):
                # `old = new`, where either side may hold `=` without spaces.
                old, new = (part.strip() for part in change.split(" = ", 1))
                assert old in code, f"line {self.line}: nothing to replace: {old!r}"
                code = code.replace(old, new)
        return code

    @property
    def reason_not_to_run(self) -> str:
        """The reason in ``not executed: reason``, or nothing."""
        mark = "not executed:"
        return self.note.removeprefix(mark).strip() if mark in self.note else ""


def _blocks(page: Path, *languages: str) -> list[Code]:
    text = _text(page)
    found = []
    for match in BLOCK.finditer(text):
        if match["language"] in languages:
            line = text[: match.start("code")].count("\n") + 1
            found.append(
                Code(match["language"], line, match["code"], match["note"] or "")
            )
    return found


PYTHON_PAGES = [page for page in PAGES if _blocks(page, "python")]


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON_PAGES, ids=str)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The blocks of a page run in order, in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "__main__"}
    ran = 0
    for block in _blocks(page, "python"):
        if block.reason_not_to_run:
            continue
        # Lines keep their numbers in the page, so that a traceback points there.
        padded = "\n" * (block.line - 1) + block.for_test()
        exec(compile(padded, str(page), "exec"), namespace)
        ran += 1
    assert ran, f"{page}: every block is marked as not executed"


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_opting_out_needs_a_reason(page: Path):
    for block in _blocks(page, "python"):
        if "not executed" in block.note:
            assert len(block.reason_not_to_run) >= 10, f"{page}:{block.line}"
        elif block.note:
            assert block.note.startswith("tested with:"), f"{page}:{block.line}"


# --- commands -------------------------------------------------------------------------


@functools.cache
def _commands() -> dict:
    return dict(reference_pages.commands(reference_pages.command_app()))


def _shell_lines() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in _blocks(page, "console", "bash", "sh"):
            for line in block.code.splitlines():
                words = line.removeprefix("$ ")
                if words.startswith("retrodict "):
                    found.append((f"{page}:{block.line}", words))
    return found


@pytest.mark.parametrize(("place", "line"), _shell_lines())
def test_shown_command_exists(place: str, line: str):
    """The command and each option written in the documentation exist."""
    commands = _commands()
    words = line.split("#")[0].split()
    path = words[0]
    for word in words[1:]:
        if f"{path} {word}" in commands:
            path = f"{path} {word}"
    assert path != "retrodict" or words[1].startswith("-"), f"{place}: no such command"
    known = {
        option
        for parameter in commands[path].params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    options = {word.split("=")[0] for word in words if word.startswith("--")} - {
        "--help"
    }
    assert options <= known, f"{place}: no such option: {sorted(options - known)}"


def test_every_command_and_option_has_help():
    silent = [path for path, command in _commands().items() if not command.help]
    for path, command in _commands().items():
        silent += [
            f"{path} {parameter.name}"
            for parameter in command.params
            if not getattr(parameter, "help", None)
        ]
    assert not silent, f"Without help: {silent}"


def test_every_command_is_documented():
    page = reference_pages.pages().get("00-command-line.md", "")
    missing = [path for path in _commands() if f"## `{path}`" not in page]
    assert not missing


# --- the reference --------------------------------------------------------------------


def test_every_public_name_is_in_the_reference():
    text = "\n".join(reference_pages.pages().values())
    directive = re.compile(r"^\.\. auto\w+:: retrodict\.(\w+)$", re.MULTILINE)
    assert sorted(directive.findall(text)) == sorted(rd.__all__)


# --- links ----------------------------------------------------------------------------

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    bare = [re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in bare}


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_internal_links_lead_somewhere(page: Path):
    broken = []
    for target in LINK.findall(_text(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        here = REPOSITORY / page
        path = (here.parent / name).resolve() if name else here
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert not broken, f"{page}: {broken}"


# --- examples in docstrings -----------------------------------------------------------


def _doctests() -> list[str]:
    return sorted(name for name, source in sources().items() if ">>> " in source.text)


class ExactPosterior:
    """The posterior of ``_model``, in closed form; what ``trust`` needs of one."""

    names = ("mu[0]", "mu[1]")

    def sample(self, key, xs, num_samples):
        """Draw from the posterior of every row of ``xs``."""
        shape = (len(xs), num_samples, 2)
        noise = np.asarray(jr.normal(key, shape), dtype=np.float64)
        return 0.8 * np.asarray(xs)[:, None, :] + np.sqrt(0.2) * noise

    def log_prob(self, theta, xs):
        """Return the normalized log-density, in nats."""
        error = np.asarray(theta) - 0.8 * np.asarray(xs)[:, None, :]
        return -0.5 * (error**2 / 0.2 + np.log(2 * np.pi * 0.2)).sum(-1)


def _model():
    """A model whose posterior is known: a normal mean under a normal prior."""
    prior = rd.Prior(mu=dist.Normal(np.zeros(2), 1.0))

    def simulator(key, theta):
        return theta["mu"] + 0.5 * jr.normal(key, (2,))

    return rd.Model(prior, simulator, observed=np.array([0.3, -0.2]), name="normal")


def _names() -> dict:
    """What an example may use without defining it: a few arrays and a small model.

    ``theta`` holds 500 parameters of two components, ``x`` their simulations,
    ``posterior`` their exact posterior and ``draws`` 100 draws from it for each. An
    example that mentions ``simulations`` finds 300 of them.
    """
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(500, 2))
    x = theta + 0.5 * rng.normal(size=(500, 2))
    noise = rng.normal(size=(500, 100, 2))
    draws = 0.8 * x[:, None, :] + np.sqrt(0.2) * noise
    libraries = {"jax": jax, "jnp": jnp, "jr": jr, "np": np, "dist": dist, "rd": rd}
    arrays = {"theta": theta, "x": x, "draws": draws}
    objects = {"model": _model(), "posterior": ExactPosterior()}
    return {**libraries, **arrays, **objects}


@functools.cache
def _simulations():
    """Three hundred simulations of ``_model``, made only for examples that say so."""
    simulate = importlib.import_module("retrodict.simulations").simulate
    return simulate(_model(), 300, seed=0)


@pytest.mark.parametrize("name", _doctests())
def test_docstring_examples_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(verbose=False, optionflags=options)
    report: list[str] = []
    for found in finder.find(module, name, globs={**_names(), **vars(module)}):
        if any("simulations" in example.source for example in found.examples):
            found.globs["simulations"] = _simulations()
        runner.run(found, out=report.append)
    results = runner.summarize(verbose=False)
    assert results.attempted, f"{name}: examples, but none in a docstring"
    assert not results.failed, "".join(report)
