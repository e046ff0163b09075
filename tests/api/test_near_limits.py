"""Bodies just within the limits and just beyond them: a fuzzer's, and those that cost the most."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import BARE

BODY, BATCH, ROWS = 65_536, 200_000, 300
ONE = ("/predict", "/appraise", "/explain")
MANY = ("/predict/batch", "/invocations", "/v2/models/used-car-price/infer")
# Schemathesis sends what it generates with so many spaces after it that the body has as many bytes
# as may be, one fewer or one more.
HOOKS = f"""
import itertools, json, schemathesis
BEYOND = itertools.cycle((-1, 0, 1))

@schemathesis.hook
def before_call(context, case, kwargs):
    if case.media_type == "application/json" and case.method == "POST":
        try:
            body = json.dumps(case.body).encode()
        except (TypeError, ValueError):
            return
        most = {BODY} if case.operation.path in {ONE} else {BATCH}
        case.body = body + b" " * (most + next(BEYOND) - len(body))
"""
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)


@pytest.fixture(scope="module")
def server(start: Any) -> Iterator[Any]:
    limits = {"CARPRICE_BATCH_BYTES": str(BATCH), "CARPRICE_BATCH_ROWS": str(ROWS)}
    with start(CARPRICE_BODY_BYTES=str(BODY), **limits) as server:
        yield server


def statuses_in(log: str) -> Counter[int]:
    lines = (line for line in log.split("\n") if '"carprice.access"' in line)
    return Counter(json.loads(line)["status"] for line in lines)


def test_a_fuzzer_finds_nothing_near_the_limits(server: Any, tmp_path: Path) -> None:
    (tmp_path / "near.py").write_text(HOOKS)
    (tmp_path / "schemathesis.toml").write_text('hooks = "near.py"\n')
    before = statuses_in(server.log.read_text())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--phases", "fuzzing", "--no-color"),
            *("--include-method", "POST", "--exclude-path-regex", "/versions/"),
            *("--max-examples", "10", "--continue-on-failure", "--workers", "1", "--seed", "1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert generated, done.stdout[-2000:]
    assert int(generated[1]) == int(generated[2]) >= 30
    found = statuses_in(server.log.read_text()) - before
    assert {200, 413, 422} <= found.keys()
    assert not [status for status in found if status >= 500]


def listing(**more: Any) -> bytes:
    return json.dumps({**BARE, **more}).encode()


def within(begin: bytes, filling: bytes, end: bytes) -> Callable[[int], bytes]:
    """Return what makes a body of exactly so many bytes, spaces at its end."""

    def body(size: int) -> bytes:
        times = (size - len(begin) - len(end)) // len(filling)
        return (begin + filling * times + end).ljust(size)

    return body


def forms(path: str) -> dict[str, Callable[[int], bytes]]:
    """Return bodies that are as long as may be, by what fills them."""
    right = {
        "/predict": listing(),
        "/appraise": listing(),
        "/explain": listing(),
        "/predict/batch": b'{"listings": [%s]}' % listing(),
        "/invocations": b'{"dataframe_records": [%s]}' % listing(),
        MANY[2]: json.dumps(
            {
                "inputs": [
                    {
                        "name": name,
                        "shape": [1],
                        "datatype": "BYTES" if isinstance(value, str) else "INT64",
                        "data": [value],
                    }
                    for name, value in BARE.items()
                ]
            }
        ).encode(),
    }[path]
    key = {"/predict/batch": b"listings", "/invocations": b"inputs", MANY[2]: b"inputs"}.get(path)
    begin = b'{"features":[' if key is None else b'{"%s":[' % key
    return {
        "spaces": right.ljust,
        "numbers": within(begin, b"1,", b"1]}"),
        "texts": within(begin, b'"a",', b'"a"]}'),
        "objects": within(begin, b"{},", b"{}]}"),
        "one text": within(b'{"variant":"', b"x", b'"}'),
        "one number": within(b'{"year":', b"9", b"}"),
        "keys": within(b"{", b'"a":1,', b'"b":1}'),
        "depth": within(b"", b"[", b""),
        "columns": within(b'{"columns":[', b'"a",', b'"a"],"data":[]}'),
        "no JSON": within(b"", b"\xff", b""),
    }


@pytest.mark.parametrize("path", [*ONE, *MANY])
def test_bodies_near_the_limit_are_read_or_refused_for_what_they_are(
    server: Any, path: str
) -> None:
    most = BODY if path in ONE else BATCH
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:

        def ask(body: bytes, *, is_declared: bool) -> httpx.Response:
            content = body if is_declared else iter([body[:5000], body[5000:]])
            headers = {"Content-Type": "application/json"}
            return client.post(path, content=content, headers=headers)

        for name, make in forms(path).items():
            for size in (most - 1, most, most + 1):
                body = make(size)
                assert len(body) == size
                answer = ask(body, is_declared=name != "spaces")
                right = 413 if size > most else 200 if name == "spaces" else 422
                rows_are_too_many = right == 422 and answer.status_code == 413
                assert answer.status_code == right or rows_are_too_many, (name, size, answer.text)
                assert len(answer.content) < 10_000, name
                if right != 200:
                    assert answer.headers["Content-Type"] == "application/problem+json"
        assert client.get("/live").status_code == 200


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS, ROWS + 1])
def test_as_many_rows_as_may_be_are_priced(server: Any, rows: int) -> None:
    tensors = [
        {
            "name": name,
            "shape": [rows],
            "datatype": "BYTES" if isinstance(value, str) else "INT64",
            "data": [value] * rows,
        }
        for name, value in BARE.items()
    ]
    asked: list[tuple[dict[str, Any], Callable[[Any], int]]] = [
        ({"listings": [BARE] * rows}, lambda answer: answer["priced"]),
        ({"dataframe_records": [BARE] * rows}, lambda answer: len(answer["predictions"])),
        ({"inputs": tensors}, lambda answer: answer["outputs"][0]["shape"][0]),
    ]
    for path, (content, count) in zip(MANY, asked, strict=True):
        status, answer = server.post(path, content)
        if rows > ROWS:
            assert (status, answer["type"]) == (413, "urn:carprice:problem:request-too-large")
        else:
            assert (status, count(answer)) == (200, rows)
