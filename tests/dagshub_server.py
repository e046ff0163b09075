"""A stand-in for DagsHub: its interface for users and repositories, and MLflow behind a repository.

``python tests/dagshub_server.py --port 8080 --upstream http://127.0.0.1:5000`` with the token in
DAGSHUB_USER_TOKEN passes everything under ``/me/cars.mlflow/`` on to a real MLflow server, which
checks user and password itself; the token is taken for a user name, too. Its interface answers
DagsHub's own package alone. ``--lacking`` makes it a server that does not know calls of some
names, as hosted ones that lag do not.
"""

import argparse
import base64
import json
import os
import re
import sys
import urllib.parse
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"}
UNKNOWN = {
    "page": (404, "text/html", b"<!doctype html><title>404 Not Found</title>"),
    "endpoint": (404, "application/json", b'{"error": "unsupported endpoint"}'),
    "detail": (404, "application/json", b'{"detail": "Not Found"}'),
    "resource": (
        404,
        "application/json",
        b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No such endpoint"}',
    ),
    "method": (405, "text/html", b"<!doctype html><title>405 Method Not Allowed</title>"),
    "page-501": (501, "text/plain", b"not implemented"),
}


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class StandIn(ThreadingHTTPServer):
    """Knows one user, one token and one repository."""

    daemon_threads = True

    def __init__(self, options: argparse.Namespace, token: str) -> None:
        self.options, self.token = options, token
        self.prefix = f"/{options.repository}.mlflow"
        self.upstream = httpx.Client(base_url=options.upstream, timeout=120, trust_env=False)
        super().__init__(("127.0.0.1", options.port), Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that give up are what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def answer(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        self.content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/health":
            self.tell(200, {})
        elif path.startswith("/api/v1/"):
            self.tell(*self.interface(path.removeprefix("/api/v1/")))
        elif not path.startswith(f"{self.server.prefix}/"):
            self.send(404, {}, b"<!doctype html><title>no such page</title>")
        elif (lacking := self.server.options.lacking) and re.search(lacking, path):
            status, kind, body = UNKNOWN[self.server.options.unknown]
            self.send(status, {"Content-Type": kind}, body)
        else:
            self.pass_on()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def interface(self, path: str) -> tuple[int, dict[str, Any]]:
        if "dagshub-client-python/" not in self.headers.get("User-Agent", ""):
            return 400, {"message": "this was not asked by the package dagshub"}
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return 401, {"message": "bad credentials"}
        if path == "user":
            return 200, {"id": 1, "username": self.server.options.user}
        if path == f"repos/{self.server.options.repository}":
            return 200, {"full_name": self.server.options.repository}
        return 404, {"message": "not found"}

    def pass_on(self) -> None:
        token = self.server.token
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        if headers.get("Authorization") == basic(token, token):
            headers["Authorization"] = basic(self.server.options.user, token)
        reply = self.server.upstream.request(
            self.command,
            self.path.removeprefix(self.server.prefix),
            headers={**headers, "Accept-Encoding": "identity"},
            content=self.content,
        )
        kept = {k: v for k, v in reply.headers.items() if k not in {*HOP_BY_HOP, "content-length"}}
        self.send(reply.status_code, kept, reply.content)

    def tell(self, status: int, content: dict[str, Any]) -> None:
        self.send(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="address of the MLflow server")
    parser.add_argument("--user", default="me", help="owner of the token")
    parser.add_argument("--repository", default="me/cars")
    parser.add_argument("--lacking", default="", help="regular expression of paths not known")
    parser.add_argument("--unknown", choices=UNKNOWN, default="page", help="how to say so")
    options = parser.parse_args()
    token = os.environ.get("DAGSHUB_USER_TOKEN")
    if not token:
        sys.exit("DAGSHUB_USER_TOKEN is not set")
    StandIn(options, token).serve_forever()


if __name__ == "__main__":
    main()
