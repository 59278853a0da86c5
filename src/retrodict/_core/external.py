"""Run an external program on one theta: any language, no shell, a folder of its own.

Imports neither JAX nor the model: worker processes use it. The public class is
``retrodict.Command``.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


MAX_TAIL = 4096
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


class ProgramError(Exception):
    """An external program failed on one row.

    Attributes:
        exit_code_of_program: Its exit code, or minus the number of a signal.
        status_of_row: What the row is recorded as.
    """

    def __init__(self, text: str, code: int | None = None, status: str = "exception"):
        super().__init__(text)
        self.exit_code_of_program = code
        self.status_of_row = status


@dataclass(frozen=True)
class Command:
    """A simulator that is an external program: any executable, in any language.

    For each simulation the program is started without a shell in an empty folder of its
    own, which is removed afterwards. It finds the parameters in a file there and writes
    its output to another. Use it as a model's simulator.

    Args:
        argv: Words of the command. ``{theta}`` stands for the parameter file,
            ``{output}`` for the file to write, ``{seed}`` for the row's own seed in
            [0, 2**31), and ``{name}`` for the value of the parameter ``name`` (an array
            as numbers separated by commas). Braces that are meant are doubled.
        theta_format: ``"json"`` writes an object of names and values; ``"text"`` writes
            a line ``name value [value ...]`` per parameter, in declared order.
        output: Name of the file the program writes; its ending says how it is read:
            ``.npy``, ``.csv`` (commas; a first line of names is skipped), else numbers
            separated by blanks. ``"-"`` reads such numbers from stdout.
        env: Variables added to the environment.

    Raises:
        ValueError: If ``argv`` is empty or not a list of words, or ``theta_format`` is
            neither of its two words.

    Example:
        >>> simulator = Command(["./lotka_volterra", "{theta}", "{seed}"], output="-")
        >>> simulator.output
        '-'
    """

    argv: Sequence[str]
    theta_format: str = "json"
    output: str = "output.npy"
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.argv, str) or not self.argv:
            raise ValueError(
                "argv: Expected a list of words such as ['./program', '{theta}']; got "
                f"{self.argv!r}."
            )
        if self.theta_format not in ("json", "text"):
            raise ValueError(
                f"theta_format: Expected 'json' or 'text'; got {self.theta_format!r}."
            )
        words = [str(word) for word in self.argv]
        words[0] = _resolve(words[0])
        object.__setattr__(self, "argv", tuple(words))

    def __call__(
        self, rng: np.random.Generator, theta: Mapping[str, Any]
    ) -> np.ndarray:
        """Run the program once and return its output.

        Raises:
            ProgramError: If it exits with another code than 0, is killed by a signal,
                or leaves no output that can be read.
        """
        seed = int(rng.integers(2**31))
        with tempfile.TemporaryDirectory(prefix="retrodict-") as scratch:
            return self._run(Path(scratch), seed, theta)

    def _run(self, scratch: Path, seed: int, theta: Mapping[str, Any]) -> np.ndarray:
        values = {name: np.asarray(value).tolist() for name, value in theta.items()}
        theta_file = scratch / (
            "theta.json" if self.theta_format == "json" else "theta"
        )
        theta_file.write_text(_write_theta(values, self.theta_format))
        words = {
            **{name: _number_text(value) for name, value in values.items()},
            "theta": theta_file.name,
            "output": self.output,
            "seed": str(seed),
        }
        argv = [_fill(word, words) for word in self.argv]
        with (
            open(scratch / ".stdout", "w+b") as out,
            open(scratch / ".err", "w+b") as err,
        ):
            code = _call(argv, scratch, {**os.environ, **self.env}, (out, err))
            if code != 0:
                raise _failure(code, _tail(err) or _tail(out))
            path = scratch / (".stdout" if self.output == "-" else self.output)
            if not path.is_file():
                raise ProgramError(
                    f"the program wrote no file {self.output!r}\n{_tail(err)}", code
                )
        return read_output(path)


def command_from(facts: Mapping[str, Any]) -> Command:
    """Return the command that :func:`command_facts` describes."""
    return Command(**facts)


def command_facts(command: Command) -> dict[str, Any]:
    """Describe a command as JSON values."""
    facts = asdict(command)
    return {**facts, "argv": list(command.argv), "env": dict(command.env)}


def read_output(path: Path) -> np.ndarray:
    """Read what a program wrote, by the ending of the file's name.

    Raises:
        ProgramError: If it does not hold real numbers.
    """
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix != ".csv":
            return _numbers(path.read_text().split("\n"), None)
        return _numbers(_without_names(path.read_text().split("\n")), ",")
    except (ValueError, OSError, EOFError) as error:
        text = f"the output {path.name.lstrip('.')!r} cannot be read: {error}"
        raise ProgramError(text) from error


def stay_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent dies (Linux)."""
    if sys.platform != "linux":
        return
    _prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _resolve(program: str) -> str:
    """Find the program now: later it is started from another folder."""
    if "/" in program:
        return str(Path(program).absolute())
    return shutil.which(program) or program


def _fill(word: str, words: Mapping[str, str]) -> str:
    try:
        return word.format_map(words)
    except (KeyError, IndexError, ValueError) as error:
        raise ProgramError(
            f"argv: the word {word!r} holds {error}. Expected one of {sorted(words)} "
            "in braces; double braces that are meant."
        ) from error


def _write_theta(values: Mapping[str, Any], theta_format: str) -> str:
    if theta_format == "json":
        return json.dumps(values)
    lines = (f"{k} {_number_text(v).replace(',', ' ')}" for k, v in values.items())
    return "\n".join(lines) + "\n"


def _number_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_number_text(item) for item in value)
    return repr(value)


def _call(argv: list[str], folder: Path, env: dict[str, str], files: tuple) -> int:
    """Start the program and wait. It stays in the worker's process group."""
    # Only in a worker, which has one thread: between fork and exec the kernel is told
    # to end the program with the worker.
    parent, in_worker = os.getpid(), "RETRODICT_WORKER" in os.environ
    before = (lambda: stay_with_parent(parent)) if in_worker else None
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=files[0],
            stderr=files[1],
            preexec_fn=before,
        )
    except OSError as error:
        text = f"{argv[0]}: cannot be started: {error.strerror or error}"
        raise ProgramError(text) from error
    try:
        return process.wait()
    finally:
        if process.poll() is None:  # interrupted while waiting
            process.kill()
            process.wait()


def _failure(code: int, tail: str) -> ProgramError:
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            return ProgramError(
                f"the program was killed by {name}\n{tail}", code, "crash"
            )
    return ProgramError(f"the program exited with code {code}\n{tail}", code)


def _tail(file: Any) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_TAIL))
    return file.read().decode("utf-8", "replace").strip()


def _without_names(lines: list[str]) -> list[str]:
    try:
        [float(cell) for cell in lines[0].split(",")]
    except ValueError:
        return lines[1:]
    return lines


def _numbers(lines: list[str], separator: str | None) -> np.ndarray:
    rows = [[float(c) for c in line.split(separator)] for line in lines if line.strip()]
    if not rows:
        raise ValueError("it holds no numbers")
    array = np.array(rows)
    # One line or one column is a series, as scientists write it.
    return array.reshape(-1) if 1 in array.shape else array
