"""An MLflow server for one person: loopback, one worker, no background jobs."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import quote

from hybridgen.system.child_processes import child_environment
from hybridgen.system.errors import UserError

HOST = "127.0.0.1"  # MLflow has no password by default, and answers other host names with 403
PATIENCE = 180.0  # seconds; 34 were measured on a loaded machine with two cores
TABLE = "/runs?workflowType=machine_learning"
PORTS = 100  # how many ports after the wanted one are tried


class Server:
    """`mlflow server`, from `start` to `stop`.

    Args:
        uri: the store.
        artifacts: folder for files of runs that the server itself creates.
        port: where it listens.
    """

    def __init__(self, uri: str, artifacts: Path, port: int) -> None:
        self.uri, self.artifacts, self.port = uri, artifacts, port
        self.url = f"http://{HOST}:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log: IO[bytes] | None = None

    def start(self, waiting: Callable[[float], None]) -> None:
        """Start it and wait until it answers; `waiting` gets the seconds waited so far.

        Raises:
            UserError: when it ends, with its last words, or does not answer within three minutes.
        """
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        command = [sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", self.uri]
        command += ["--artifacts-destination", str(self.artifacts), "--host", HOST, "--port", str(self.port)]
        # the job runner alone is seven processes and a gigabyte; training has no use for it
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.process = subprocess.Popen(
            [*command, "--workers", "1"], env=child_environment(**quiet), stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip
        begun = time.monotonic()
        while not self.answers():
            spent = time.monotonic() - begun
            if self.process.poll() is not None or spent > PATIENCE:
                raise UserError(f"the MLflow server did not start. Its last words:\n{self._last_words()}")
            waiting(spent)
            time.sleep(0.3)

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait(self) -> int:
        """Wait until it ends of itself; its exit code."""
        assert self.process is not None, "a server that was started"
        return self.process.wait()

    def stop(self) -> None:
        """End it and all that it started; nothing remains."""
        if self.process is not None:
            for sign, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
                try:
                    os.killpg(self.process.pid, sign)
                    self.process.wait(patience)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
            self.process.wait()
        if self.log is not None:
            self.log.close()

    def _last_words(self) -> str:
        assert self.log is not None, "a server that was started"
        self.log.seek(0)
        return "\n".join(self.log.read().decode(errors="replace").splitlines()[-8:])


def free_port(wanted: int) -> int:
    """`wanted`, or the next port that nobody listens on."""
    for port in range(wanted, min(wanted + PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise UserError(f"--port {wanted}: neither it nor the {PORTS} ports after it are free")


def runs_page(url: str, experiment: str | None) -> str:
    """The link to an experiment's table of training runs; to the list of experiments when it is not there yet.

    Without `TABLE` MLflow opens pages for chat agents, on which no training run is seen.
    """
    if experiment is not None:
        ask = f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(experiment)}"
        try:
            with urllib.request.urlopen(ask, timeout=10) as answer:
                return f"{url}/#/experiments/{json.load(answer)['experiment']['experiment_id']}{TABLE}"
        except (urllib.error.HTTPError, KeyError, ValueError):
            pass  # not there yet
        except OSError as error:
            raise UserError(f"{url} does not answer: {error}") from error
    return f"{url}/#/experiments"
