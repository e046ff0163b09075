import http.server
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import AwsAccount, aws_account
from containers import built, podman
from delivery import Desk, Instance, Service

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def base_image() -> None:
    """Skip the tests of the image where it cannot be built."""
    if os.geteuid() != 0 or not shutil.which("podman"):
        pytest.skip("the image needs root and podman")
    (base,) = re.findall(r"^ARG BASE=(\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    if (
        "CARPRICE_IMAGE" not in os.environ
        and podman("image", "exists", base, check=False).returncode
    ):
        pytest.skip(f"{base} is not in podman's storage; pull it, or run deploy/rehearse")


@pytest.fixture(scope="session")
def image(base_image: None) -> Iterator[str]:
    """The service's image: built, or the one that CARPRICE_IMAGE names."""
    named = os.environ.get("CARPRICE_IMAGE")
    if named:
        yield named
        return
    name = built(ROOT)
    yield name
    podman("rmi", name, check=False)


@pytest.fixture(scope="session")
def model_folder(base_image: None, finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that every user can read."""
    folder = tmp_path_factory.mktemp("image") / "model"
    shutil.copytree(finished[0].model, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture
def account(no_aws_login: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsAccount]:
    """An account of AWS, by moto, and a login for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with aws_account(monkeypatch) as made:
        yield made
