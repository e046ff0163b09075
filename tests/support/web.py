"""A web server in a thread of the test."""

import functools
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that give up are what some tests are about."""


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], certificate: Path | None = None, **options: Any
) -> Iterator[str]:
    """Answer requests with a handler, and log none of them; give the server's address.

    With the file of a certificate and its key it is an address of https.
    """
    quiet = type("Quiet", (handler,), {"log_message": lambda *_: None})
    with _Server(("127.0.0.1", 0), functools.partial(quiet, **options)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            address = f"https://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Stub:
    """What a server answers to everything, and what it was asked.

    Attributes
    ----------
    content : the body; what is not bytes is sent as JSON.
    pause : seconds before every byte of it.
    first : statuses and bodies that the first requests are answered with, before all others.
    asked : path and headers of each request.
    """

    url: str = ""
    status: int = 200
    content: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    first: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, Message]] = field(default_factory=list)

    @property
    def logins(self) -> list[str | None]:
        """The login of each request."""
        return [headers.get("Authorization") for _, headers in self.asked]


@contextmanager
def stub_server(certificate: Path | None = None, **answer: Any) -> Iterator[Stub]:
    """Run a server with one answer until the block ends."""
    stub, done = Stub(**answer), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Who changes the answer after it was asked does not change this one.
            status, content = stub.first.pop(0) if stub.first else (stub.status, stub.content)
            stub.asked.append((self.path, self.headers))
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {**stub.headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            for byte in body if stub.pause else ():
                done.wait(stub.pause)
                self.wfile.write(bytes([byte]))
            if not stub.pause:
                self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

    with serving(Handler, certificate) as stub.url:
        try:
            yield stub
        finally:
            done.set()


@contextmanager
def raw_server(answer: Callable[[bytes], Iterable[bytes]]) -> Iterator[str]:
    """Run a server that sends bytes of any kind; give its host and port.

    Parameters
    ----------
    answer : returns the parts of what is sent, given what was asked. It is left off where the
        client goes away or the block ends; then the connection is closed.
    """
    done = threading.Event()

    def tell(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            for part in answer(connection.recv(65536)):
                if done.is_set():
                    return
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)  # a close with unread bytes would be a reset

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=tell, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield "{}:{}".format(*server.getsockname())
        finally:
            done.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
