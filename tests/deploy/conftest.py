import http.server
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivery import Desk, Instance, Service


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


@pytest.fixture
def ecr_password(instance: Instance) -> str:
    """The registry's password, on an instance that has not the image yet."""
    token = secrets.token_urlsafe(40)
    instance.answers("docker image inspect", code=1)
    instance.answers("aws ecr get-login-password", f"{token}\n")
    return token


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.asked.append((self.command, self.path, dict(self.headers), content))
            status, text = told.answer(self.command, self.path)
            self.send_response(status)
            if told.version is not None:
                self.send_header("X-Model-Version", told.version)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield told
        server.shutdown()
        thread.join()
