"""Lambda as a container sees it: the API of runtimes and extensions, and its events."""

import base64
import http.server
import itertools
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

RUNTIME = "/2018-06-01/runtime"
EXTENSIONS = "/2020-01-01/extension"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:carprice:production"


class FailedInvocationError(Exception):
    """What the runtime said of an event that it could not handle."""


class LambdaPlatform:
    """Hands out events one after the other, and waits for their answers.

    Attributes
    ----------
    address : host and port, what AWS_LAMBDA_RUNTIME_API says.
    extensions : names of those that have registered.
    is_initialized : set when the runtime asks for its first event.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.extensions: list[str] = []
        self.is_initialized = threading.Event()
        self.ends = threading.Event()
        self.events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.answers: dict[str, Future[Any]] = {}
        self._numbers = itertools.count(1)

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Return the answer to an event; :class:`FailedInvocationError` if that is an error."""
        name = f"request-{next(self._numbers)}"
        self.answers[name] = Future()
        self.events.put((name, json.dumps(event).encode()))
        return self.answers[name].result(timeout=60)


@contextmanager
def lambda_platform() -> Iterator[LambdaPlatform]:
    """Run the API on a free port of this machine until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def tell(self, status: int, content: Any = b"", **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.path == f"{EXTENSIONS}/event/next":
                platform.ends.wait()
                return
            assert self.path == f"{RUNTIME}/invocation/next"
            platform.is_initialized.set()
            while not platform.ends.is_set():
                try:
                    name, event = platform.events.get(timeout=0.1)
                except queue.Empty:
                    continue
                about = {"Lambda_Runtime_Aws_Request_Id": name}
                about["Lambda_Runtime_Invoked_Function_Arn"] = ARN
                about["Lambda_Runtime_Deadline_Ms"] = f"{time.time() * 1000 + 60_000:.0f}"
                self.tell(200, event, Content_Type="application/json", **about)
                return

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == f"{EXTENSIONS}/register":
                platform.extensions.append(self.headers["Lambda-Extension-Name"])
                about = {"functionName": "carprice", "functionVersion": "1"}
                self.tell(200, about, Lambda_Extension_Identifier="extension-1")
                return
            name, _, kind = self.path.removeprefix(f"{RUNTIME}/invocation/").partition("/")
            if kind == "response":
                platform.answers[name].set_result(json.loads(content))
            else:
                platform.answers[name].set_exception(FailedInvocationError(content.decode()))
            self.tell(202, {"status": "OK"})

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        platform = LambdaPlatform(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield platform
        finally:
            platform.ends.set()
            server.shutdown()
            thread.join()


def of_function_url(
    method: str, path: str, body: bytes | None = None, query: str = "", **headers: str
) -> dict[str, Any]:
    """Return an event in API Gateway's second format; bodies that are no text go in base64."""
    host = "abc.lambda-url.us-east-1.on.aws"
    named = {name.replace("_", "-").lower(): text for name, text in headers.items()}
    about = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}
    return {
        **{"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query},
        "headers": {"host": host, "x-forwarded-for": "192.0.2.1", **named},
        "requestContext": {"domainName": host, "stage": "$default", "http": about},
        **_as_sent(body),
    }


def of_balancer(
    method: str,
    path: str,
    body: bytes | None = None,
    query: Mapping[str, str] | None = None,
    **headers: str,
) -> dict[str, Any]:
    """Return an event of a load balancer, with several values a header."""
    named = {name.replace("_", "-").lower(): [text] for name, text in headers.items()}
    group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/carprice/1"
    return {
        **{"httpMethod": method, "path": path},
        "multiValueQueryStringParameters": {name: [text] for name, text in (query or {}).items()},
        "multiValueHeaders": {"host": ["cars.example.org"], **named},
        "requestContext": {"elb": {"targetGroupArn": group}},
        **_as_sent(body),
    }


def _as_sent(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {"isBase64Encoded": False}
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
