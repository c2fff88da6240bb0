"""A PostgreSQL server of a test's own: found, made in a folder, started, stopped; skipped where it is not installed."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import pytest


def binaries():
    """The folder of initdb and pg_ctl; None where there is none."""
    homes = [Path(found).resolve().parent for found in [shutil.which("pg_ctl")] if found]
    homes += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((home for home in homes if (home / "initdb").is_file() and (home / "pg_ctl").is_file()), None)


def why_not():
    """Why no server can be started; empty when one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (pip install 'hybridgen[sweep-db]')"
    if binaries() is None:
        return "no PostgreSQL here (Debian: apt install postgresql)"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL refuses root, and there is no other user to run it"
    return ""


class Server:
    """One server on a free port; its files lie in `folder`, which its user must be able to reach."""

    def __init__(self, folder):
        if reason := why_not():
            pytest.skip(reason)
        self.folder, self.user = folder, _unprivileged() if os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if self.user is not None:
            shutil.chown(folder, self.user)
        self._run("initdb", "-D", folder / "data", "-A", "trust", "-U", "sweeper", "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def url(self):
        return f"postgresql+psycopg://sweeper@127.0.0.1:{self.port}/postgres"

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c fsync=off -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "fast", "-w", "stop")

    def restart(self):
        self.stop()
        self.start()

    def _run(self, name, *arguments):
        words = [str(binaries() / name), *map(str, arguments)]
        done = subprocess.run(
            words, user=self.user, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=120, check=False, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}"


def _unprivileged():
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)
