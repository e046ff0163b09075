import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api import healthcheck


@contextmanager
def answering(answer: bytes, asked: list[bytes]) -> Iterator[int]:
    """Yield the port of a server that gives this answer, or none at all."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            asked.append(connection.recv(1000))
            connection.sendall(answer)
            if not answer:
                connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntold", 0, "told"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\ntold", 1, "told"),
        (b"HTTP/1.1 404 None\r\nContent-Length: 4\r\n\r\ntold", 1, "told"),
        (b"HTTP/1.1 204 None\r\n\r\n", 1, ""),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\ntold", 1, "told"),
        (b"220 mail.example.org ESMTP\r\n\r\n", 1, "220 mail"),
        (b"", 1, "timed out"),
    ],
)
def test_only_200_is_healthy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: bytes,
    code: int,
    told: str,
) -> None:
    monkeypatch.setattr(healthcheck, "_SECONDS", 0.2 if not answer else 10)
    asked: list[bytes] = []
    with answering(answer, asked) as port:
        monkeypatch.setenv("PORT", str(port))
        assert healthcheck.main() == code
    assert asked[0].startswith(b"GET / HTTP/1.1\r\n")
    # The log of an earlier test's service may come late, into the same output.
    assert told in capsys.readouterr().out


def test_where_nobody_listens_containers_get_its_exit_code_and_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "api.healthcheck"],
        env={**os.environ, "PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert len(done.stdout.splitlines()) == 1
    assert "refused" in done.stdout
