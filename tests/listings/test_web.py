"""Sources on the web whose servers are broken, slow, endless or hostile."""

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from web import raw_server

from carprice.errors import InputError
from carprice.listings.sources import limits, read_chunks, web
from carprice.redaction import basic
from carprice.settings import IngestSettings

HIDDEN = "<s3cret>"
CSV = b"make,year\nKia,2019\n"
OK = b"HTTP/1.1 200 OK\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def direct_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


def read(host: str, scheme: str = "http") -> list[list[str]]:
    source = f"{scheme}://ann:{HIDDEN}@{host}/cars.csv"
    chunks = read_chunks(IngestSettings(source=source))
    return [row for chunk in chunks for row in chunk.frame.to_numpy().tolist()]


def refusal(host: str, scheme: str = "http") -> str:
    """Return the one line that a server gets, in which no login is."""
    with pytest.raises(InputError) as raised:
        read(host, scheme)
    line = str(raised.value)
    assert line.startswith(f"{scheme}://***@{host}/cars.csv ")
    assert "\n" not in line
    assert len(line) < 400
    assert HIDDEN not in line
    assert basic("ann", HIDDEN) not in line
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return line


def slowly(*parts: bytes) -> Iterator[bytes]:
    for part in parts:
        for byte in part:
            time.sleep(0.02)
            yield bytes([byte])


BROKEN = {
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", "cannot be reached"),
    "any bytes": (bytes(range(256)) * 99, "cannot be reached"),
    "nothing": (b"", "cannot be reached"),
    "half a head": (OK + b"Content-Le", "cannot be reached"),
    "an endless head": (OK + b"X: y\r\n" * 100_000, "cannot be reached"),
    "no such status": (b"HTTP/1.1 20 OK\r\n\r\n", "cannot be reached"),
    "a reason without end": (b"HTTP/1.1 404 " + b"x" * 9000 + b"\r\n\r\n", "HTTP status 404 (xxx"),
    "a chunk of no size": (CHUNKED + b"zz\r\n" + CSV, "broke off after 0 of unknown bytes"),
    "a chunk less than nothing": (CHUNKED + b"-5\r\n" + CSV, "broke off after 0"),
    "half a chunk": (CHUNKED + b"500\r\n" + CSV, "broke off after 19 of unknown bytes; try again"),
    "no last chunk": (CHUNKED + b"13\r\n" + CSV + b"\r\n", "broke off after 19"),
    "too great a length": (OK + b"Content-Length: 500\r\n\r\n" + CSV, "after 19 of 500 bytes"),
    "too small a length": (OK + b"Content-Length: 9\r\n\r\n" + CSV, "no rows below its header"),
    "a length of no digits": (OK + b"Content-Length: x\r\n\r\n" + CSV, "bad Content-Length"),
    "two lengths": (
        OK + b"Content-Length: 5\r\n" * 2 + b"Content-Length: 6\r\n\r\n",
        "conflicting",
    ),
    "4 GB and a byte": (
        OK + b"Content-Length: 4000000001\r\n\r\n" + CSV,
        "more than 4 GB; download",
    ),
    "round and round": (
        FOUND + b"/cars.csv\r\nConnection: close\r\n\r\n",
        "Exceeded maximum allowed redirects",
    ),
    "no address": (FOUND + b"http://[::\r\n\r\n", "cannot be reached: Invalid URL"),
    "no host": (FOUND + b"http://xn--a/\r\n\r\n", "cannot be reached: Codepoint"),
    "a file": (FOUND + b"file:///etc/passwd\r\n\r\n", "unsupported protocol"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_answer_is_one_line(kind: str) -> None:
    answer, message = BROKEN[kind]
    with raw_server(lambda _: [answer]) as host:
        assert message in refusal(host)


def test_a_server_that_repeats_the_login_does_not_have_it_shown() -> None:
    def repeat(asked: bytes) -> list[bytes]:
        login = next(line for line in asked.split(b"\r\n") if line.startswith(b"Authorization"))
        return [b"HTTP/1.1 404 " + login + b"\r\n\r\n"]

    with raw_server(repeat) as host:
        assert "404 (Authorization: Basic ***)" in refusal(host)


def test_what_speaks_no_tls_is_one_line() -> None:
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x15\x03\x03\x00\x02\x02\x28"):
        with raw_server(lambda _, answer=answer: [answer]) as host:  # type: ignore[misc]
            assert "cannot be reached" in refusal(host, "https")


SLOW = {
    "a head byte by byte": (lambda: slowly(OK, b"X: y\r\n" * 999), "silent for 0.5 seconds"),
    "a body byte by byte": (lambda: slowly(OK, b"\r\n", CSV * 99), "is too slow: "),
    "half an answer": (
        lambda: halting(OK + b"\r\n" + CSV),
        "broke off after 19 of unknown bytes, sil",
    ),
    "no answer": (lambda: halting(b""), "cannot be reached: silent for 0.5 seconds"),
}


def halting(start: bytes) -> Iterator[bytes]:
    yield start
    for _ in range(100):
        time.sleep(0.05)
        yield b""


@pytest.mark.parametrize("kind", SLOW)
def test_a_slow_server_is_not_waited_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, message = SLOW[kind]
    for module in (limits, web):
        monkeypatch.setattr(module, "MOST_SECONDS_SILENT", 0.5)
    with raw_server(lambda _: parts()) as host:
        assert message in refusal(host)


def test_an_endless_body_is_left_off_at_the_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_LARGEST_TRANSFER", 5_000_000)
    block = CSV * 10_000
    with (
        raw_server(lambda _: itertools.chain([OK + b"\r\n"], itertools.repeat(block))) as host,
        pytest.raises(InputError, match=r"more than 0.005 GB; download it with another"),
    ):
        web.download(f"http://{host}/cars.csv", tmp_path / "cars.csv")
    assert (tmp_path / "cars.csv").stat().st_size < 5_000_000 + len(block) + 1_000_000


def test_the_body_of_a_redirect_is_not_read() -> None:
    sent: list[int] = []

    def redirect(asked: bytes) -> Iterator[bytes]:
        if b"/again" in asked:
            yield OK + b"\r\n" + CSV
            return
        yield b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Encoding: gzip\r\n\r\n"
        for _ in range(1000):
            sent.append(100_000)
            yield bytes(100_000)

    with raw_server(redirect) as host:
        assert read(host) == [["Kia", "2019"]]
    assert sum(sent) < 50_000_000


def test_a_login_goes_to_its_own_host_and_port_alone() -> None:
    logins: dict[str, bool] = {}
    seen = f"Basic {basic('ann', HIDDEN)}".encode()

    def other(asked: bytes) -> list[bytes]:
        logins["other"] = b"authorization" in asked.lower() or seen in asked
        return [OK + b"\r\n" + CSV]

    with raw_server(other) as elsewhere:
        port = elsewhere.partition(":")[2]
        for target in (f"http://{elsewhere}/", f"//{elsewhere}/", f"http://localhost:{port}/"):

            def away(asked: bytes, target: str = target) -> list[bytes]:
                logins["own"] = seen in asked
                is_first = b"/cars.csv" in asked
                found = "/again" if is_first else target
                return [FOUND + found.encode() + b"\r\nConnection: close\r\n\r\n"]

            logins.clear()
            with raw_server(away) as host:
                assert read(host) == [["Kia", "2019"]]
            assert logins == {"own": True, "other": False}


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    with raw_server(lambda _: [CHUNKED + b"zz\r\n" + CSV]) as host:
        (tmp_path / "params.yaml").write_text(f"ingest: {{source: 'http://{host}/cars.csv'}}")
        done = subprocess.run(
            [sys.executable, "-m", "carprice.cli", "ingest"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"carprice: http://{host}/cars.csv broke off after 0 of unknown bytes; try again"
    )
    assert "Traceback" not in done.stderr


def test_nothing_that_listens_is_one_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert "cannot be reached" in refusal("{}:{}".format(*closed.getsockname()))
