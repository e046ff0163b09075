import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from api import healthcheck


@contextmanager
def answering(status: int, asked: list[str]) -> Iterator[int]:
    """Serve one status and yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"told")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1), (204, 1), (302, 1)])
def test_only_200_is_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    asked: list[str] = []
    with answering(status, asked) as port:
        monkeypatch.setenv("PORT", str(port))
        assert healthcheck.main() == code
    assert asked == ["/"]
    # The log of an earlier test's service may come late, into the same output.
    assert status == 204 or "told" in capsys.readouterr().out


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens where the service should."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))


@pytest.mark.usefixtures("nobody")
def test_nobody_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main() == 1
    assert "refused" in capsys.readouterr().out


def test_silence_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(healthcheck, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PORT", str(silent.getsockname()[1]))
        assert healthcheck.main() == 1
    assert "timed out" in capsys.readouterr().out


def test_another_protocol_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example.org ESMTP\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("PORT", str(listener.getsockname()[1]))
        thread = threading.Thread(target=answer)
        thread.start()
        assert healthcheck.main() == 1
        thread.join()
    assert "220 mail" in capsys.readouterr().out


@pytest.mark.usefixtures("nobody")
def test_its_exit_code_is_what_containers_ask_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.healthcheck"],
        env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
