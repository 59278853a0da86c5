"""The persistent compilation cache: compile a program once per machine, not per run."""

import hashlib
import os
import platform
from pathlib import Path

import jax


def _machine() -> str:
    """Name what compiled code depends on: JAX, the processor and its features."""
    flags = ""
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        flags = platform.processor()
    digest = hashlib.sha256(flags.encode()).hexdigest()[:12]
    return f"jax-{jax.__version__}-{platform.machine()}-{digest}"


def use_compilation_cache() -> None:
    """Switch JAX's compilation cache on, unless the user has configured it already.

    The folder is ``$RETRODICT_CACHE`` or ``~/.cache/retrodict``, in a subfolder of its
    own per JAX version and processor type; ``RETRODICT_CACHE=off`` leaves JAX alone.
    Called by the verbs that compile (``simulate``, ``fit``, ...), never on import.
    """
    setting = os.environ.get("RETRODICT_CACHE", "")
    if setting == "off" or jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    base = Path(setting) if setting else Path.home() / ".cache" / "retrodict"
    folder = base / "xla" / _machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home is no reason to fail: compile anew every run
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
