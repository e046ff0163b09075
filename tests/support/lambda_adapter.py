#!/usr/bin/env python3
"""Stands in for AWS's Lambda Web Adapter 1.0 in a container, as its documentation tells it.

Registers as an extension, waits until the service is ready, and turns each event of the runtime API
into a request, and its answer into the event's. API Gateway's second format, which function URLs
have too, and a load balancer's. Nothing but Python's own library is in the container.
"""

import base64
import http.client
import json
import os
import signal
import threading
import time
from typing import Any
from urllib.parse import urlencode

API = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
PORT = os.environ.get("AWS_LWA_PORT", "")
READY = os.environ.get("AWS_LWA_READINESS_CHECK_PATH", "")
NAME = os.path.basename(__file__)  # noqa: PTH119 - Lambda wants an extension's file name
TEXT = ("text", "application/json", "application/javascript", "application/xml")
TEXT_SUFFIXES = ("+json", "+xml", "+yaml")


def asked(
    address: str, method: str, path: str, body: bytes | None = None, headers: Any = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(address)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def register() -> None:
    """Register as an extension that wants no events, and wait for none."""
    named = {"Lambda-Extension-Name": NAME}
    status, headers, _ = asked(
        API, "POST", "/2020-01-01/extension/register", b'{"events": []}', named
    )
    if status != 200:
        raise SystemExit("the extension is not registered")
    told = {"Lambda-Extension-Identifier": dict(headers)["Lambda-Extension-Identifier"]}
    waits = (API, "GET", "/2020-01-01/extension/event/next", None, told)
    threading.Thread(target=asked, args=waits, daemon=True).start()


def wait_until_ready() -> None:
    """Ask every 10 ms, until the answer is below 500."""
    while True:
        try:
            if asked(f"127.0.0.1:{PORT}", "GET", READY)[0] < 500:
                return
        except OSError:
            pass
        time.sleep(0.01)


def request_of(event: dict[str, Any]) -> tuple[str, str, dict[str, str], bytes | None]:
    """Return method, path with query, headers and body."""
    headers: dict[str, str] = dict(event.get("headers") or {})
    if event.get("version") == "2.0":
        about = event["requestContext"]["http"]
        method, path, query = about["method"], event["rawPath"], event["rawQueryString"]
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
    else:
        for name, texts in (event.get("multiValueHeaders") or {}).items():
            headers[name] = ", ".join(texts)
        asked_for = event.get("multiValueQueryStringParameters") or {
            name: [text] for name, text in (event.get("queryStringParameters") or {}).items()
        }
        method, path = event["httpMethod"], event["path"]
        query = urlencode(asked_for, doseq=True)
    headers["x-amzn-request-context"] = json.dumps(event["requestContext"])
    headers["x-amzn-lambda-context"] = "{}"
    body = event.get("body")
    content = None if body is None else body.encode()
    if content is not None and event.get("isBase64Encoded"):
        content = base64.b64decode(content)
    return method, f"{path}?{query}" if query else path, headers, content


def answer_of(event: dict[str, Any], answer: tuple[int, list[tuple[str, str]], bytes]) -> Any:
    """Return the event's answer; what is no text goes in base64."""
    status, headers, body = answer
    found: dict[str, list[str]] = {}
    for name, text in headers:
        if name.lower() != "transfer-encoding":
            found.setdefault(name.lower(), []).append(text)
    kind = found.get("content-type", [""])[0].partition(";")[0]
    is_text = "content-encoding" not in found and (
        kind.startswith(TEXT) or kind.endswith(TEXT_SUFFIXES) or not body
    )
    told: dict[str, Any] = {
        "statusCode": status,
        "isBase64Encoded": not is_text,
        "body": body.decode() if is_text else base64.b64encode(body).decode(),
        "headers": {name: ", ".join(texts) for name, texts in found.items()},
    }
    if event.get("version") == "2.0":
        told["cookies"] = found.get("set-cookie", [])
    else:
        told["multiValueHeaders"] = found
        told["statusDescription"] = f"{status} {http.client.responses.get(status, '')}"
    return told


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    register()
    wait_until_ready()
    while True:
        _, headers, content = asked(API, "GET", "/2018-06-01/runtime/invocation/next")
        given = dict(headers)["Lambda-Runtime-Aws-Request-Id"]
        place = f"/2018-06-01/runtime/invocation/{given}"
        event = json.loads(content)
        try:
            method, path, sent, body = request_of(event)
            answer = asked(f"127.0.0.1:{PORT}", method, path, body, sent)
            told = answer_of(event, answer)
            asked(API, "POST", f"{place}/response", json.dumps(told).encode())
        except (OSError, http.client.HTTPException) as error:
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            asked(API, "POST", f"{place}/error", json.dumps(failure).encode())


if __name__ == "__main__":
    main()
