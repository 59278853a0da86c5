"""Keep a training on disk, so that it goes on to the same bits after any end.

A checkpoint is one safetensors file whose name holds the SHA-256 of its content: it
proves itself. It is written beside its place, flushed and renamed; the last two of
every member stay, and where the newest is damaged the one before it is used.

A folder belongs to a training by the digest of everything it depends on: simulations,
key, settings, initial weights. Another training never takes it for its own.
"""

import contextlib
import hashlib
import json
import platform
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from .._core.atomic import write_atomic
from .._core.errors import InterruptedRun, StorageError
from .._core.progress import say
from .loop import Info, Position, Run, Split
from .member import Member


SECONDS = 30.0  # between two checkpoints of a member
KEPT = 2
RESUMABLE = 75
_current: ContextVar["Checkpoints | None"] = ContextVar("checkpoints", default=None)


class Checkpoints:
    """The folder of the trainings of one ``with`` block.

    Args:
        folder: Where; created when there is something to write.
        seconds: Time between two checkpoints of a member.
    """

    def __init__(self, folder: Path, seconds: float = SECONDS):
        self.folder = folder
        self.seconds = seconds
        self.written = False
        self._opened = False

    def open(self, *parts: Any) -> "TrainingFolder":
        """Return the folder of one training of an ensemble.

        Args:
            *parts: Arrays, and values with a repr, that tell it from any other.
        """
        name = digest(*parts)[:16]
        if not self._opened:
            self._opened = True
            self._forget_others(name)
        return TrainingFolder(self, self.folder / name)

    def _forget_others(self, name: str) -> None:
        """Take away what the first training of another run left."""
        others = [path for path in self.folder.glob("*") if path.is_dir()]
        if others and all(path.name != name for path in others):
            say(
                f"The checkpoints in {self.folder} are of another training (other "
                "simulations, seed or settings). This one begins anew."
            )
            shutil.rmtree(self.folder)


class TrainingFolder:
    """The checkpoints of one ensemble.

    Args:
        session: The ``with`` block.
        path: Where they are.
    """

    def __init__(self, session: Checkpoints, path: Path):
        self.session = session
        self.path = path

    def member(
        self, name: str, member: Member, split: Split, rng: np.random.Generator
    ) -> "MemberFolder":
        """Return the checkpoints of one member with one schedule."""
        arrays = member.weights, member.free, member.matrices, split.train
        state = json.dumps(_plain(rng.bit_generator.state))
        run = digest(name, *arrays, split.held_out, state)[:16]
        return MemberFolder(self.session, self.path / run)


class MemberFolder:
    """The checkpoints of one member.

    Args:
        session: The ``with`` block.
        path: Where they are.
    """

    def __init__(self, session: Checkpoints, path: Path):
        self.session = session
        self.path = path
        self._last = time.monotonic()

    def load(self, start: Position) -> Position:
        """Return the newest position that can be trusted, or the start."""
        for path in reversed(self._files()):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem.partition("-")[2]:
                say(f"{path}: the checkpoint is damaged; the one before it is used.")
                continue
            found, written_by = unpack(content, start)
            if written_by != versions():
                say(
                    f"{path} was written by {written_by}; this is {versions()}. The "
                    "training goes on, not bit for bit as it would have there."
                )
            return found
        return start

    def save_if_due(self, position: Position, *, now: bool) -> None:
        """Write a checkpoint if it is time, or if it must be ``now``."""
        waited = time.monotonic() - self._last
        if not now and waited < self.session.seconds:
            return
        content = pack(position)
        number = f"{len(position.history):06d}.{len(position.losses):04d}"
        name = f"{number}-{hashlib.sha256(content).hexdigest()}.safetensors"
        try:
            write_atomic(self.path / name, content)
            self.session.written = True
            for old in self._files()[:-KEPT]:
                old.unlink(missing_ok=True)
        except StorageError as error:
            say(f"{error} The training goes on without this checkpoint.")
        self._last = time.monotonic()

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("[0-9]*-*.safetensors"))


@contextlib.contextmanager
def checkpointing(
    folder: str | Path | None, seconds: float = SECONDS
) -> Iterator[None]:
    """Keep the trainings of a ``with`` block in a folder, and continue what is there.

    Ctrl-C, and SIGTERM where the program has no handler of its own for it, write a last
    checkpoint. The folder stays: see :func:`forget_checkpoints`.

    Args:
        folder: Where; ``None`` does nothing.
        seconds: Time between two checkpoints of a member.

    Raises:
        InterruptedRun: On Ctrl-C, once there is a checkpoint.
        SystemExit: With code 75 on SIGTERM, where nobody else handles it.
    """
    if folder is None:
        yield
        return
    session = Checkpoints(Path(folder), seconds)
    token = _current.set(session)
    try:
        with _sigterm_interrupts() as terminated:
            yield
    except KeyboardInterrupt as error:
        text = (
            f"Interrupted. The training is safe in {folder}; the same command continues"
            " it."
        )
        if terminated:
            say(text)
            raise SystemExit(RESUMABLE) from error
        if session.written:
            raise InterruptedRun(text) from error
        raise
    finally:
        _current.reset(token)


def current_checkpoints() -> Checkpoints | None:
    """Return where trainings are kept in this ``with`` block, if anywhere."""
    return _current.get()


def forget_checkpoints(folder: str | Path) -> None:
    """Remove a folder of checkpoints once its result is safe elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[list[int]]:
    """Let SIGTERM interrupt as Ctrl-C does, unless the program handles it itself."""
    received: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield received
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# --- the file -------------------------------------------------------------------------


def pack(position: Position) -> bytes:
    """Return the content of a checkpoint."""
    leaves = jax.tree.leaves(position.state)
    arrays = {f"state/{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    arrays |= {f"losses/{i:04d}": part for i, part in enumerate(position.losses)}
    arrays["best/weights"] = position.best.weights
    arrays["best/losses"] = position.best.losses
    arrays["history"] = np.array(position.history, np.float64).reshape(-1, 3)
    facts = {"order": _plain(position.order), "versions": versions()}
    arrays = {
        name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()
    }
    return safetensors.numpy.save(arrays, {"facts": json.dumps(facts)})


def unpack(content: bytes, start: Position) -> tuple[Position, dict[str, str]]:
    """Return the position in a checkpoint, and the versions that wrote it.

    Args:
        content: Bytes of :func:`pack`.
        start: A position of the same training, for the structure of the state.
    """
    arrays = safetensors.numpy.load(content)
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["facts"])
    tree = jax.tree.structure(start.state)
    leaves = [jnp.array(arrays[f"state/{i}"]) for i in range(tree.num_leaves)]
    history = [Info(a, b, int(c)) for a, b, c in arrays["history"].tolist()]
    position = Position(
        jax.tree.unflatten(tree, leaves),
        Run(arrays["best/weights"], arrays["best/losses"], []),
        history,
        facts["order"],
        [arrays[name] for name in sorted(arrays) if name.startswith("losses/")],
    )
    return position, facts["versions"]


def versions() -> dict[str, str]:
    """Return what the bits of a training depend on beside its arguments."""
    found = {name: metadata.version(name) for name in ("jax", "jaxlib", "optax")}
    return found | {"backend": jax.default_backend(), "machine": platform.machine()}


def digest(*parts: Any) -> str:
    """Return the SHA-256 of arrays, mappings of arrays and values with a repr."""
    found = hashlib.sha256()
    for part in parts:
        named = sorted(part.items()) if isinstance(part, Mapping) else [("", part)]
        for name, value in named:
            if isinstance(value, np.ndarray):
                found.update(f"{name} {value.dtype.str} {value.shape}".encode())
                for rows in np.array_split(value, max(1, value.nbytes >> 24)):
                    found.update(np.ascontiguousarray(rows).data)
            else:
                found.update(f"{name} {value!r}".encode())
            found.update(b"\0")
    return found.hexdigest()


def _plain(state: Any) -> Any:
    """Return the state of a generator as JSON values, which it takes back."""
    if isinstance(state, Mapping):
        return {key: _plain(value) for key, value in state.items()}
    if isinstance(state, np.ndarray | Sequence) and not isinstance(state, str):
        return [int(value) for value in state]
    return state
