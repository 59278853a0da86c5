"""One coordinator at a time in a campaign's folder, and what kind of disk it is on."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path

from .._core.errors import StorageError


NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
}


class CampaignLock:
    """The right to change a campaign; the kernel gives it back when its holder dies.

    Args:
        folder: The campaign's folder.

    Raises:
        StorageError: If another process holds it (message names host and process).
    """

    def __init__(self, folder: Path):
        path = folder / "lock"
        try:
            self._file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            text = error.strerror or error
            raise StorageError(f"Cannot write {path}: {text}.") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(path)
            self._file.close()
            raise StorageError(
                f"{folder}: another process works on this campaign ({holder}). Wait "
                "until it ends, stop it, or choose another folder."
            ) from error
        facts = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        self._file.truncate(0)
        self._file.write(json.dumps(facts) + "\n")
        self._file.flush()

    def release(self) -> None:
        """Give it back."""
        self._file.truncate(0)
        self._file.close()


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text())
        return f"process {facts['pid']} on {facts['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "which did not leave its name"


def is_network_disk(folder: Path) -> bool:
    """Tell whether a folder lies on a network file system (Linux; else False)."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return False
    place = str(folder.resolve()) + "/"
    best, kind = "", ""
    for line in lines:
        words = line.split(" ")
        point = words[1].encode().decode("unicode_escape").rstrip("/") + "/"
        if place.startswith(point) and len(point) >= len(best):
            best, kind = point, words[2]
    return kind in NETWORK
