"""`hybridgen ui`: what it refuses, and the server that it starts; tests/browser looks at the pages."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hybridgen.cli import main
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.tracking.process import store_uri
from hybridgen.tracking.server import TABLE, free_port, runs_page
from hybridgen.tracking.sync import mirror


class Answer(BaseHTTPRequestHandler):
    """Knows the experiment `demo`, number 7."""

    def do_GET(self):
        known = self.path.endswith("get-by-name?experiment_name=demo")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"experiment": {"experiment_id": "7"}}).encode())

    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def server():
    """The address of such a server."""
    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_the_link_leads_to_the_table_of_runs(server, capsys):
    assert runs_page(server, "demo") == f"{server}/#/experiments/7{TABLE}"
    assert runs_page(server, "unknown") == f"{server}/#/experiments"
    assert main(["ui", "demo", "--uri", server + "/"]) == 0
    assert capsys.readouterr().out == f"{server}/#/experiments/7{TABLE}\n"


def test_a_server_that_is_down_is_one_clear_error(capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert main(["ui", "demo", "--uri", f"http://127.0.0.1:{closed.getsockname()[1]}"]) == 2
    assert "does not answer" in capsys.readouterr().err


def test_a_busy_port_gives_the_next_free_one():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert port < free_port(port) < port + 100
    assert free_port(port) == port


def test_there_must_be_a_port():
    with pytest.raises(UserError, match="--port 65536"):
        free_port(65536)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--runs", "{}/nowhere"], "hybridgen train demo"),
        (["--runs", "{}", "dmeo"], "Did you mean 'demo'"),
        (["--runs", "{}", "--port", "70000"], "from 1 to 65535"),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path, capsys, arguments, says):
    Run.create(tmp_path, "demo", {}, {})
    assert main(["ui", *(word.format(tmp_path) for word in arguments)]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_link_is_printed_and_nothing_is_left(tmp_path, root):
    """Server, link, and nothing left after Ctrl-C."""
    run = Run.create(tmp_path, "demo", {"seed": 0}, {})
    run.log(1, {"loss": 1.0}, "generator")
    run.finish()
    assert mirror(run, store_uri(tmp_path))
    command = [sys.executable, "-m", "hybridgen", "ui", "--runs", str(tmp_path), "--port", "5400"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            link = re.search(r"http://127\.0\.0\.1:\d+/#/experiments/\d+/runs", process.stdout.readline()).group()
        finally:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "MLflow is starting" in said
    assert "stopped" in said
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(link.partition("#")[0], timeout=2)
