import base64
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from carprice.model_folder import file_digest, folder_digest, is_intact, write_folder
from carprice.registry.cache import last_known_good

NAME = "cars to fetch"
DIGEST = "a" * 64


@dataclass(frozen=True)
class Fetched:
    """What a finished child told."""

    code: int
    answer: dict[str, Any]
    complaints: str

    @property
    def used_mlflow(self) -> bool:
        """Whether the child imported MLflow; it lists its imports."""
        return any(line.rpartition("|")[2].strip() == "mlflow" for line in self.lines)

    @property
    def lines(self) -> list[str]:
        return self.complaints.splitlines()


def command(cache: Path, name: str = NAME, have: str = "") -> list[str]:
    program = [sys.executable, "-P", "-m", "carprice.registry.fetch"]
    return [*program, f"--name={name}", f"--cache={cache}", f"--have={have}"]


def fetch(
    uri: str, cache: Path, environment: Mapping[str, str] | None = None, **options: str
) -> Fetched:
    """Run the child as the service does."""
    variables = {"MLFLOW_TRACKING_URI": uri, "PYTHONPROFILEIMPORTTIME": "1", **(environment or {})}
    done = subprocess.run(
        command(cache, **options),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = done.stdout.splitlines()
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return Fetched(done.returncode, json.loads(line), done.stderr)


def had(uri: str, cache: Path, **options: Any) -> Fetched:
    found = fetch(uri, cache, **options)
    assert found.code == 0, found.answer
    return found


def refused(uri: str, cache: Path, kind: str, **options: Any) -> str:
    found = fetch(uri, cache, **options)
    assert (found.code, found.answer.get("kind")) == (1, kind), found.answer
    assert set(found.answer) == {"error", "kind"}
    assert "\n" not in found.answer["error"]
    return found.answer["error"]


def write_two(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"\x00\x01\x02")
    (folder / "b.bin").write_bytes(b"\x03")


def cached(cache: Path, mark: int = 0) -> str:
    """Put a small folder into a cache and return its digest."""
    digest = write_folder(cache / "new", {"mark": mark}, write_two)
    (cache / "new").rename(cache / digest)
    return digest


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def production(digest: str, version: str = "4") -> tuple[int, dict[str, Any]]:
    tags = [{"key": "gate", "value": "accepted"}, {"key": "digest", "value": digest}]
    return 200, {"model_version": {"name": NAME, "version": version, "tags": tags}}


@dataclass
class Stub:
    """A server with one answer, which notes what it is asked."""

    url: str = ""
    answer: tuple[int, Any] = (200, {})
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def stub_server() -> Iterator[Stub]:
    stub = Stub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stub.asked.append((self.path, self.headers.get("Authorization")))
            status, content = stub.answer
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in stub.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as found:
        yield found


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory,
    finished: Any,
    mlflow_server: Any,
    register: Callable[..., int],
    another_model: Callable[..., Path],
    newer_model: Callable[..., Path],
) -> dict[str, tuple[str, Path]]:
    """Registered models: their name in the registry and their folder."""
    from carprice.registry.versions import Registry

    folder = tmp_path_factory.mktemp("to-fetch")
    good = finished[0].model
    folders = {
        "good": good,
        "newer": newer_model(good, folder / "newer"),
        "corrupt": another_model(good, folder / "corrupt", 5),
    }
    for kind, one in folders.items():
        number = register(mlflow_server.url, f"{NAME} {kind}", one, folder)
        client = Registry(mlflow_server.url, f"{NAME} {kind}")._client
        client.set_registered_model_alias(client_name := f"{NAME} {kind}", "production", number)
        if kind == "corrupt":
            source = client.get_model_version(client_name, str(number)).source
            pattern = f"{source.removeprefix('models:/')}/**/hedonic.json"
            (path,) = mlflow_server.log.parent.rglob(pattern)
            flip_a_byte(path)
    return {kind: (f"{NAME} {kind}", one) for kind, one in folders.items()}


def test_a_model_is_downloaded_once_and_then_confirmed_without_mlflow(
    models: Any, mlflow_server: Any, tmp_path: Path
) -> None:
    (name, folder), cache = models["good"], tmp_path / "deep" / "cache"
    digest = folder_digest(folder)
    first = had(mlflow_server.url, cache, name=name)
    assert first.answer == {"folder": str(cache / digest), "version": "1", "digest": digest}
    assert is_intact(cache / digest, digest)
    assert not first.used_mlflow
    known = last_known_good(cache, name, mlflow_server.url)
    assert known is not None
    assert (known.version, known.digest, known.folder) == ("1", digest, cache / digest)
    assert sorted(path.name for path in cache.iterdir()) == [digest, f"{name}.json"]
    again = had(mlflow_server.url, cache, name=name)
    assert again.answer == first.answer
    assert not again.used_mlflow
    flip_a_byte(cache / digest / "hedonic.json")
    mended = had(mlflow_server.url, cache, name=name)
    assert mended.answer == first.answer
    assert is_intact(cache / digest, digest)
    assert sorted(path.name for path in cache.iterdir()) == [digest, f"{name}.json"]


def test_a_local_database_is_asked_by_mlflow(
    promoted: Any, registry_address: Callable[..., str], tmp_path: Path
) -> None:
    uri, cache = registry_address(promoted), tmp_path / "cache"
    digest = folder_digest(promoted.model)
    assert had(uri, cache, name="used-car-price").answer["digest"] == digest
    assert last_known_good(cache, "used-car-price", uri) is not None
    error = refused(uri, cache, "NoProductionModelError", name="other")
    assert error.endswith(
        "no production version of other; run the pipeline, `carprice test-model` and "
        "`carprice promote`"
    )


def test_what_the_caller_has_is_not_downloaded(stub: Stub, tmp_path: Path) -> None:
    stub.answer = production(DIGEST)
    found = had(stub.url, tmp_path / "cache", have=DIGEST)
    assert found.answer == {"folder": None, "version": "4", "digest": DIGEST}
    assert not found.used_mlflow
    assert not (tmp_path / "cache").exists()


def test_a_registry_without_production_is_told_with_the_remedy_and_without_mlflow(
    mlflow_server: Any, tmp_path: Path
) -> None:
    found = fetch(mlflow_server.url, tmp_path, name="nowhere")
    assert (found.code, found.answer["kind"]) == (1, "NoProductionModelError")
    assert "run the pipeline, `carprice test-model` and `carprice promote`" in found.answer["error"]
    assert not found.used_mlflow


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("corrupt", "CorruptModelError", "hedonic.json is missing or not the file"),
        ("newer", "InputError", "model.json has format version 99, this carprice reads 1"),
    ],
)
def test_a_model_that_cannot_be_used_is_named_and_not_kept(
    kind: str, error: str, words: str, models: Any, mlflow_server: Any, tmp_path: Path
) -> None:
    name, _ = models[kind]
    told = refused(mlflow_server.url, tmp_path, error, name=name)
    assert told.startswith(f"version 1 of {name} in {mlflow_server.url}: {words}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("digest", ["", "../../etc", "A" * 64, "a" * 65])
def test_a_version_without_a_proper_digest_is_refused(
    digest: str, stub: Stub, tmp_path: Path
) -> None:
    stub.answer = production(digest)
    told = refused(stub.url, tmp_path, "CorruptModelError")
    assert told.startswith(f"version 4 of {NAME} in {stub.url} has no digest among its tags; reg")


@pytest.mark.parametrize("path", ["", "/me/cars.mlflow", "/me/cars.mlflow/"])
@pytest.mark.parametrize(
    ("user_info", "variables", "header"),
    [
        ("", {}, None),
        ("", {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "ü:1"}, "ann:ü:1"),
        ("", {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_TOKEN": "t0"}, "Bearer t0"),
        ("bob:p%40ss@", {"MLFLOW_TRACKING_TOKEN": "t0"}, "bob:p@ss"),
    ],
)
def test_logins_come_from_the_environment_or_the_address(
    path: str,
    user_info: str,
    variables: dict[str, str],
    header: str | None,
    stub: Stub,
    tmp_path: Path,
) -> None:
    stub.answer = production(cached(tmp_path))
    uri = stub.url.replace("://", f"://{user_info}") + path
    assert not had(uri, tmp_path, environment=variables).used_mlflow
    if header and not header.startswith("Bearer"):
        header = f"Basic {base64.b64encode(header.encode()).decode()}"
    prefix = path.rstrip("/")
    query = "name=cars+to+fetch&alias=production"
    asked = f"{prefix}/api/2.0/mlflow/registered-models/alias?{query}"
    assert stub.asked == [(asked, header)]
    assert last_known_good(tmp_path, NAME, stub.url + prefix) is not None


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_refusal_names_the_status_and_no_secret(status: int, stub: Stub, tmp_path: Path) -> None:
    stub.answer = (status, b"<html>ann:s3cret</html>")
    uri = stub.url.replace("://", "://ann:s3cret@")
    found = fetch(uri, tmp_path)
    assert found.answer["kind"] == "RefusedError"
    assert f"answers with HTTP status {status}; check" in found.answer["error"]
    assert "s3cret" not in json.dumps(found.answer) + found.complaints
    assert not found.used_mlflow


def test_a_server_that_is_not_there_is_told_at_once_without_its_login(tmp_path: Path) -> None:
    with stub_server() as gone:
        pass
    told = refused(gone.url.replace("://", "://ann:s3cret@"), tmp_path, "RefusedError")
    assert told.startswith(f"MLflow at {gone.url.replace('://', '://***@')} cannot be reached (Con")
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        ((404, b"<html>no such page</html>"), {}),
        ((200, b"<html>please log in</html>"), {}),
        ((200, {"model_version": []}), {}),
        ((302, b""), {"Location": "/login"}),
    ],
)
def test_an_odd_answer_is_left_to_mlflows_client(
    answer: tuple[int, Any], headers: dict[str, str], stub: Stub, tmp_path: Path
) -> None:
    stub.answer, stub.headers = answer, headers
    variables = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_TRACKING_TOKEN": "t0"}
    found = fetch(stub.url, tmp_path, environment=variables)
    assert found.used_mlflow
    assert found.code == 1
    assert len(stub.asked) > 1


def test_a_login_does_not_follow_a_redirect_to_another_server(stub: Stub, tmp_path: Path) -> None:
    with stub_server() as other:
        other.answer = production(cached(tmp_path))
        stub.answer, stub.headers = (302, b""), {"Location": f"{other.url}/elsewhere"}
        fetch(stub.url, tmp_path, environment={"MLFLOW_TRACKING_TOKEN": "t0"})
        assert {login for _, login in stub.asked} == {"Bearer t0"}
        assert {login for _, login in other.asked} <= {None}


def test_without_an_address_the_variable_is_named(tmp_path: Path) -> None:
    told = refused("", tmp_path, "InputError")
    assert told.startswith("MLFLOW_TRACKING_URI is not set")


def test_a_bug_is_told_without_secrets_and_with_its_trace(tmp_path: Path) -> None:
    uri = "http://ann:<s3cret>@localhost:1"
    program = (
        "import sys, carprice.registry.fetch as f\n"
        f"def fail(*_): raise KeyError('{uri}')\n"
        "f.fetch = fail\n"
        f"sys.exit(f.main(['--name=n', '--cache={tmp_path}']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["kind"]) == (1, "KeyError")
    assert "Traceback" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"registry": "http://other:5000"},
        {"digest": "../elsewhere"},
        {"digest": 5},
        {"confirmed": "yesterday"},
        {"confirmed": "2025-07-01T12:00:00"},
        {"confirmed": None},
    ],
)
def test_a_record_of_something_else_or_damaged_is_no_last_known_good(
    change: dict[str, Any], tmp_path: Path
) -> None:
    record = {
        "name": NAME,
        "registry": "http://registry:5000",
        "version": "4",
        "digest": DIGEST,
        "confirmed": "2025-07-01T12:00:00+00:00",
    }
    path = tmp_path / f"{NAME}.json"
    assert last_known_good(tmp_path, NAME, "http://registry:5000") is None
    path.write_text(json.dumps(record))
    for uri in ("http://registry:5000", "http://ann:<s3cret>@Registry:5000/"):
        assert last_known_good(tmp_path, NAME, uri) is not None
    path.write_text(json.dumps({**record, **change}))
    assert last_known_good(tmp_path, NAME, "http://registry:5000") is None
    for damage in ("", "[]", "{}", "null", "{"):
        path.write_text(damage)
        assert last_known_good(tmp_path, NAME, "http://registry:5000") is None


def test_the_record_holds_no_login(stub: Stub, tmp_path: Path) -> None:
    stub.answer = production(cached(tmp_path))
    had(stub.url.replace("://", "://ann:<s3cret>@"), tmp_path)
    assert "s3cret" not in (tmp_path / f"{NAME}.json").read_text()


def test_a_name_with_signs_that_files_may_not_have_has_its_own_record(
    stub: Stub, tmp_path: Path
) -> None:
    stub.answer = production(cached(tmp_path))
    had(stub.url, tmp_path, name="../cars: 1")
    assert last_known_good(tmp_path, "../cars: 1", stub.url) is not None
    assert last_known_good(tmp_path, "..-cars- 1", stub.url) is None


def test_the_current_model_and_the_two_before_are_kept(stub: Stub, tmp_path: Path) -> None:
    digests = [cached(tmp_path, mark) for mark in range(6)]
    now = time.time()
    for age, digest in enumerate(reversed(digests)):
        os.utime(tmp_path / digest, (now - 60 * age - 60, now - 60 * age - 60))
    other = {"name": "other", "digest": digests[1]}
    (tmp_path / "other.json").write_text(json.dumps(other))
    (tmp_path / "mine").mkdir()
    stub.answer = production(digests[2])
    had(stub.url, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    kept = {digests[2], digests[5], digests[4], digests[1]}
    assert left == {*kept, "mine", "other.json", f"{NAME}.json"}


def test_a_cache_that_is_a_file_costs_the_cache_and_not_the_model(
    models: Any, mlflow_server: Any, tmp_path: Path
) -> None:
    name, folder = models["good"]
    cache = tmp_path / "cache"
    cache.write_text("a file")
    (tmp_path / "temporary").mkdir()
    check_aside(mlflow_server.url, cache, name, folder, "File exists")


def test_a_full_disk_costs_the_cache_and_not_the_model(
    models: Any, mlflow_server: Any, full_disk: Path
) -> None:
    name, folder = models["good"]
    (full_disk.parent / "temporary").mkdir()
    check_aside(mlflow_server.url, full_disk, name, folder, "No space left on device")
    assert list(full_disk.iterdir()) == []


def check_aside(uri: str, cache: Path, name: str, folder: Path, reason: str) -> None:
    temporary = cache.parent / "temporary"
    answer = had(uri, cache, name=name, environment={"TMPDIR": str(temporary)}).answer
    assert answer["temporary"] is True
    assert f"the model cache {cache} cannot be written ({reason})" in answer["warning"]
    assert "CARPRICE_MODEL_CACHE" in answer["warning"]
    got = Path(answer["folder"])
    assert got.parent.parent == temporary
    assert is_intact(got, folder_digest(folder))
    shutil.rmtree(got.parent)
    assert list(temporary.iterdir()) == []


def test_where_no_disk_has_room_both_are_named(
    models: Any, mlflow_server: Any, full_disk: Path
) -> None:
    name, _ = models["good"]
    variables = {"TMPDIR": str(full_disk)}
    told = refused(mlflow_server.url, full_disk, "RefusedError", name=name, environment=variables)
    assert f"the model cache {full_disk} failed (No space left on device); make room" in told
    assert list(full_disk.iterdir()) == []


def test_a_record_that_cannot_be_written_is_a_warning(stub: Stub, tmp_path: Path) -> None:
    digest = cached(tmp_path)
    stub.answer = production(digest)
    (tmp_path / f"{NAME}.json").mkdir()
    answer = had(stub.url, tmp_path).answer
    assert answer["folder"] == str(tmp_path / digest)
    assert answer["warning"].startswith(f"{tmp_path / NAME}.json cannot be written (Is a dir")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no polite way to end a process")
def test_a_child_that_is_ended_leaves_nothing_half_done(stub: Stub, tmp_path: Path) -> None:
    stub.answer = production(DIGEST)
    (tmp_path / "stale").mkdir()
    stale = (tmp_path / "stale").rename(tmp_path / ".download-stale")
    os.utime(stale, (1, 1))
    # MLflow asks the same server, waits for its next answer, and finds none that it understands.
    variables = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7",
        "MLFLOW_TRACKING_URI": stub.url,
        "MLFLOW_TRACKING_CLIENT_CERT_PATH": sys.executable,  # what only MLflow knows
    }
    stub.headers = {}
    child = subprocess.Popen(
        command(tmp_path),
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not stub.asked:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stub.answer = (503, b"")
    while not [path for path in tmp_path.glob(".download-*") if path != stale]:
        assert child.poll() is None, child.stdout
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    printed, _ = child.communicate(timeout=30)
    assert (child.returncode, printed) == (128 + signal.SIGTERM, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that no system trusts, with its key."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(path.with_name("key")), "-out", str(path.with_name("certificate"))]
    subprocess.run([*new, *subject, *files], check=True, capture_output=True)
    path.write_text(path.with_name("key").read_text() + path.with_name("certificate").read_text())
    return path


@pytest.mark.parametrize(
    ("variable", "works"),
    [
        ("MLFLOW_TRACKING_INSECURE_TLS", True),
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", True),
        ("REQUESTS_CA_BUNDLE", True),
        ("UNRELATED", False),
    ],
)
def test_certificates_are_checked_as_mlflow_checks_them(
    variable: str, works: bool, own_authority: Path, tmp_path: Path
) -> None:
    import ssl

    digest = cached(tmp_path)
    body = json.dumps(production(digest)[1]).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_authority)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    value = "true" if variable.endswith("TLS") else str(own_authority.with_name("certificate"))
    variables = {variable: value, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    try:
        uri = f"https://localhost:{server.server_port}"
        found = fetch(uri, tmp_path, environment=variables)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (found.code == 0, found.used_mlflow) == (works, not works)
    if not works:
        assert "certificate" in found.answer["error"].lower()


def test_the_child_starts_with_little() -> None:
    program = "import sys, carprice.registry.fetch; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "pydantic", "mlflow", "requests", "onnxruntime", "carprice.registry.versions"}
    assert heavy & set(done.stdout.split()) == set()


def test_an_intact_folder_is_the_one_of_its_digest(tmp_path: Path) -> None:
    digest = cached(tmp_path)
    assert is_intact(tmp_path / digest, digest)
    assert not is_intact(tmp_path / digest, DIGEST)
    assert not is_intact(tmp_path / "nowhere", digest)
    assert file_digest(tmp_path / digest / "model.json") == digest
    flip_a_byte(tmp_path / digest / "a.bin")
    assert not is_intact(tmp_path / digest, digest)
