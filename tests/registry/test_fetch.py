import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from web import Stub, stub_server

from carprice.errors import CorruptModelError, InputError, NoProductionModelError, RefusedError
from carprice.model_folder import file_digest, folder_digest, is_intact, write_folder
from carprice.registry.cache import Production, confirm, known_good, stored
from carprice.registry.fetch import fetch as fetch_in_process
from carprice.registry.fetch import fetch_from, main
from carprice.registry.rest import HttpRegistry, LeftToMlflowError

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
        lines = self.complaints.splitlines()
        return any(line.rpartition("|")[2].strip() == "mlflow" for line in lines)


def command(cache: Path, name: str = NAME) -> list[str]:
    program = [sys.executable, "-P", "-m", "carprice.registry.fetch"]
    return [*program, f"--name={name}", f"--cache={cache}", "--have="]


def fetch(uri: str, cache: Path, name: str = NAME, **environment: str) -> Fetched:
    """Run the child as the service does."""
    variables = {"MLFLOW_TRACKING_URI": uri, "PYTHONPROFILEIMPORTTIME": "1", **environment}
    done = subprocess.run(
        command(cache, name),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = done.stdout.splitlines()
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return Fetched(done.returncode, json.loads(line), done.stderr)


def ask(uri: str, cache: Path, name: str = NAME, have: str = "") -> dict[str, Any]:
    """Ask by plain HTTP; what is left to MLflow is an error here."""
    with closing(HttpRegistry(uri, name)) as registry:
        return fetch_from(registry, cache, have)


def note(uri: str, cache: Path, name: str = NAME) -> str:
    """Ask, and tell the cache that the model is good, as who loads it does."""
    found = ask(uri, cache, name)
    return confirm(uri, name, cache, Production(found["version"], found["digest"]))


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


def production(digest: str, version: Any = "4") -> dict[str, Any]:
    tags = [{"key": "gate", "value": "accepted"}, {"key": "digest", "value": digest}]
    return {"model_version": {"name": NAME, "version": version, "tags": tags}}


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A registry with one answer."""
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
    found = {kind: (f"{NAME} {kind}", one) for kind, one in folders.items()}
    for kind, (name, one) in found.items():
        number = register(mlflow_server.url, name, one, folder)
        client = Registry(mlflow_server.url, name)._client
        client.set_registered_model_alias(name, "production", number)
        if kind == "corrupt":
            source = client.get_model_version(name, str(number)).source.removeprefix("models:/")
            (path,) = mlflow_server.log.parent.rglob(f"{source}/**/hedonic.json")
            flip_a_byte(path)
    return found


def test_a_model_is_downloaded_once_and_then_confirmed_without_mlflow(
    models: Any, mlflow_server: Any, tmp_path: Path
) -> None:
    (name, folder), cache = models["good"], tmp_path / "deep" / "cache"
    digest = folder_digest(folder)
    first = fetch(mlflow_server.url, cache, name)
    assert (first.code, first.used_mlflow) == (0, False)
    assert first.answer == {"folder": str(cache / digest), "version": "1", "digest": digest}
    assert is_intact(cache / digest, digest)
    assert known_good(cache, name, mlflow_server.url) == []  # nobody loaded it yet
    assert note(mlflow_server.url, cache, name) == ""
    (known,) = known_good(cache, name, mlflow_server.url)
    assert (known.version, known.digest, known.folder) == ("1", digest, cache / digest)
    assert ask(mlflow_server.url, cache, name) == first.answer
    flip_a_byte(cache / digest / "hedonic.json")
    assert ask(mlflow_server.url, cache, name) == first.answer
    assert is_intact(cache / digest, digest)
    assert {path.name for path in cache.iterdir()} == {digest, f"{name}.json"}


def test_a_local_database_is_asked_by_mlflow(
    promoted: Any, registry_address: Callable[..., str], tmp_path: Path
) -> None:
    uri, cache = registry_address(promoted), tmp_path / "cache"
    digest = folder_digest(promoted.model)
    found = fetch_in_process(uri, "used-car-price", cache)
    assert (found["digest"], found["tags"]["tests"]) == (digest, "passed")
    with pytest.raises(NoProductionModelError) as none:
        fetch_in_process(uri, "other", cache)
    assert str(none.value).endswith(
        "no production version of other; run the pipeline, `carprice test-model` and "
        "`carprice promote`"
    )


def test_what_the_caller_has_is_not_downloaded(stub: Stub, tmp_path: Path) -> None:
    stub.content = production(DIGEST)
    found = ask(stub.url, tmp_path / "cache", have=DIGEST)
    assert found == {"folder": None, "version": "4", "digest": DIGEST}
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("corrupt", CorruptModelError, "hedonic.json is missing or not the file"),
        ("newer", InputError, "model.json has format version 99, this carprice reads 1"),
    ],
)
def test_a_model_that_cannot_be_used_is_named_and_not_kept(
    kind: str,
    error: type[Exception],
    words: str,
    models: Any,
    mlflow_server: Any,
    tmp_path: Path,
) -> None:
    name, _ = models[kind]
    with pytest.raises(error) as told:
        ask(mlflow_server.url, tmp_path, name)
    assert str(told.value).startswith(f"version 1 of {name} in {mlflow_server.url}: {words}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "kind", "words"),
    [
        ("{registry}", "NoProductionModelError", "run the pipeline, `carprice test-model` and"),
        ("", "InputError", "MLFLOW_TRACKING_URI is not set"),
        (
            "http://ann:<s3cret>@127.0.0.1:9",
            "RefusedError",
            "MLflow at http://***@127.0.0.1:9 cannot be reached (Connection refused)",
        ),
    ],
)
def test_the_child_tells_in_one_line_what_is_wrong_without_mlflow(
    uri: str, kind: str, words: str, mlflow_server: Any, tmp_path: Path
) -> None:
    found = fetch(uri.format(registry=mlflow_server.url), tmp_path, "nowhere")
    assert (found.code, found.used_mlflow) == (1, False)
    assert found.answer.keys() == {"error", "kind"}
    assert found.answer["kind"] == kind
    assert words in found.answer["error"]
    assert "\n" not in found.answer["error"]
    assert "s3cret" not in json.dumps(found.answer) + found.complaints


@pytest.mark.parametrize(
    ("status", "content", "error", "words"),
    [
        *(
            (200, production(digest), CorruptModelError, "^version 4 of .* has no digest among")
            for digest in ("", "../../etc", "A" * 64, "a" * 65)
        ),
        *(
            (status, b"<html>ann:s3cret</html>", RefusedError, f"with HTTP status {status}; check")
            for status in (401, 403, 429, 500, 503)
        ),
        (404, b"<html>no such page</html>", LeftToMlflowError, None),
        (200, b"<html>please log in</html>", LeftToMlflowError, None),
        (200, {"model_version": []}, LeftToMlflowError, None),
        (302, b"", LeftToMlflowError, None),
    ],
)
def test_what_is_no_good_answer_is_refused_or_left_to_mlflows_client(
    status: int, content: Any, error: type[Exception], words: str | None, stub: Stub, tmp_path: Path
) -> None:
    stub.status, stub.content, stub.headers = status, content, {"Location": "/login"}
    with pytest.raises(error, match=words) as told:
        ask(stub.url.replace("://", "://ann:<s3cret>@"), tmp_path)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "version",
    [
        "9" * 4000,
        "9" * 5000,
        "1" * 19,
        "",
        "0",
        "-4",
        "4.5",
        "４",
        "4\r\nX-Evil: 1",
        None,
        True,
        [],
        {},
    ],
)
def test_a_version_that_is_no_number_of_few_digits_is_refused(
    version: Any, stub: Stub, tmp_path: Path
) -> None:
    """Answers and their headers would name it."""
    stub.content = production(cached(tmp_path), version)
    words = "^the registry calls a version .{2,70} no number of at most 18 digits"
    with pytest.raises(RefusedError, match=words) as told:
        ask(stub.url, tmp_path)
    assert len(str(told.value)) < 250
    assert known_good(tmp_path, NAME, stub.url) == []


@pytest.mark.parametrize("version", ["1", 4, "9" * 18])
def test_a_version_is_a_number_as_text_or_not(version: Any, stub: Stub, tmp_path: Path) -> None:
    stub.content = production(cached(tmp_path), version)
    assert ask(stub.url, tmp_path)["version"] == str(version)


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stub.content = production(cached(tmp_path))
    note(stub.url.replace("://", f"://{user_info}") + path, tmp_path)
    if header and not header.startswith("Bearer"):
        header = f"Basic {base64.b64encode(header.encode()).decode()}"
    prefix = path.rstrip("/")
    query = "name=cars+to+fetch&alias=production"
    asked = f"{prefix}/api/2.0/mlflow/registered-models/alias?{query}"
    assert [one for one, _ in stub.asked] == [asked]
    assert stub.logins == [header]
    assert len(known_good(tmp_path, NAME, stub.url + prefix)) == 1


def test_mlflows_client_asks_then_and_no_login_follows_a_redirect_to_another_server(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own
    with stub_server(content=production(cached(tmp_path))) as other:
        stub.status, stub.headers = 302, {"Location": f"{other.url}/elsewhere"}
        for name, value in {"URI": stub.url, "TOKEN": "t0"}.items():
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        code = main(command(tmp_path)[4:])
        agents = [headers.get("User-Agent", "") for _, headers in stub.asked]
        assert agents[-1].startswith("mlflow-python-client/")
        assert {*stub.logins} == {"Bearer t0"}
        assert {*other.logins} <= {None}
    told = capfd.readouterr()
    (line,) = told.out.splitlines()
    assert (code, json.loads(line)["version"]) == (0, "4")
    assert "Traceback" not in told.err


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
        {"version": "9" * 4000},
        {"confirmed": "yesterday"},
        {"confirmed": "2025-07-01T12:00:00"},
        {"confirmed": None},
    ],
)
def test_a_record_of_something_else_or_damaged_is_no_known_good(
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
    assert known_good(tmp_path, NAME, "http://registry:5000") == []
    path.write_text(json.dumps(record))
    for uri in ("http://registry:5000", "http://ann:<s3cret>@Registry:5000/"):
        assert len(known_good(tmp_path, NAME, uri)) == 1
    path.write_text(json.dumps({**record, **change}))
    assert known_good(tmp_path, NAME, "http://registry:5000") == []
    for damage in ("", "[]", "{}", "null", "{"):
        path.write_text(damage)
        assert known_good(tmp_path, NAME, "http://registry:5000") == []


def test_the_record_is_of_one_name_whatever_its_signs_and_holds_no_login(
    stub: Stub, tmp_path: Path
) -> None:
    stub.content = production(cached(tmp_path))
    note(stub.url.replace("://", "://ann:<s3cret>@"), tmp_path, "../cars: 1")
    assert len(known_good(tmp_path, "../cars: 1", stub.url)) == 1
    assert known_good(tmp_path, "..-cars- 1", stub.url) == []
    (record,) = tmp_path.glob("*.json")
    assert "s3cret" not in record.read_text()


def test_the_current_model_and_the_two_before_are_kept(stub: Stub, tmp_path: Path) -> None:
    digests = [cached(tmp_path, mark) for mark in range(6)]
    now = time.time()
    for age, digest in enumerate(reversed(digests)):
        os.utime(tmp_path / digest, (now - 60 * age - 60, now - 60 * age - 60))
    other = {"name": "other", "digest": digests[1]}
    (tmp_path / "other.json").write_text(json.dumps(other))
    (tmp_path / "mine").mkdir()
    stub.content = production(digests[2])
    note(stub.url, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    kept = {digests[2], digests[5], digests[4], digests[1]}
    assert left == {*kept, "mine", "other.json", f"{NAME}.json"}


def test_the_note_holds_the_last_three_good_models_and_their_folders_stay(
    stub: Stub, tmp_path: Path
) -> None:
    digests = []
    for version in range(1, 5):
        digests.append(cached(tmp_path, version))
        stub.content = production(digests[-1], str(version))
        note(stub.url, tmp_path)
    stub.content = production(digests[2], "5")  # the same bytes under another number
    note(stub.url, tmp_path)
    found = known_good(tmp_path, NAME, stub.url)
    assert [(one.version, one.digest) for one in found] == [
        ("5", digests[2]),
        ("4", digests[3]),
        ("2", digests[1]),
    ]
    assert {one.digest for one in found} <= {path.name for path in tmp_path.iterdir()}
    noted = json.loads((tmp_path / f"{NAME}.json").read_text())
    noted["before"][0]["digest"] = "../elsewhere"
    (tmp_path / f"{NAME}.json").write_text(json.dumps(noted))
    assert [one.version for one in known_good(tmp_path, NAME, stub.url)] == ["5", "2"]
    # What was named and never loaded does not fill the disk.
    for mark in range(10, 16):
        digest = cached(tmp_path / "made", mark)
        copy = partial(shutil.copytree, tmp_path / "made" / digest)
        stored(tmp_path, digest, lambda scratch, copy=copy: copy(scratch / "model"))
    left = {path.name for path in tmp_path.iterdir() if len(path.name) == 64}
    assert {digests[2], digests[1]} <= left
    assert len(left) <= 6


@pytest.mark.parametrize("is_full", [False, True])
def test_a_cache_that_cannot_be_written_costs_the_cache_and_not_the_model(
    is_full: bool,
    models: Any,
    mlflow_server: Any,
    request: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (name, folder), temporary = models["good"], tmp_path / "temporary"
    temporary.mkdir()
    cache, reason = tmp_path / "cache", "File exists"
    if is_full:
        cache, reason = request.getfixturevalue("full_disk"), "No space left on device"
    else:
        cache.write_text("a file")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    found = ask(mlflow_server.url, cache, name)
    assert found["temporary"] is True
    assert f"the model cache {cache} cannot be written ({reason})" in found["warning"]
    assert "CARPRICE_MODEL_CACHE" in found["warning"]
    got = Path(found["folder"])
    assert got.parent.parent == temporary
    assert is_intact(got, folder_digest(folder))
    shutil.rmtree(got.parent)
    assert list(temporary.iterdir()) == []
    assert not is_full or list(cache.iterdir()) == []


def test_where_no_disk_has_room_both_are_named(
    models: Any, mlflow_server: Any, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(full_disk))
    with pytest.raises(RefusedError) as told:
        ask(mlflow_server.url, full_disk, models["good"][0])
    words = f"the model cache {full_disk} failed (No space left on device); make room"
    assert words in str(told.value)
    assert list(full_disk.iterdir()) == []


def test_a_record_that_cannot_be_written_is_a_warning(stub: Stub, tmp_path: Path) -> None:
    digest = cached(tmp_path)
    stub.content = production(digest)
    record = tmp_path / f"{NAME}.json"
    record.mkdir()
    assert ask(stub.url, tmp_path)["folder"] == str(tmp_path / digest)
    assert note(stub.url, tmp_path).startswith(f"{record} cannot be written ({record} is a folder;")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no polite way to end a process")
def test_a_child_that_is_ended_leaves_nothing_half_done(stub: Stub, tmp_path: Path) -> None:
    # MLflow asks the same server, has one answer, and asks in vain for the next one.
    stub.first = [(200, production(DIGEST))]
    stub.status, stub.content = 503, b""
    (tmp_path / "stale").mkdir()
    stale = (tmp_path / "stale").rename(tmp_path / ".download-stale")
    os.utime(stale, (1, 1))
    variables = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7",
        "MLFLOW_TRACKING_URI": stub.url,
        "MLFLOW_TRACKING_CLIENT_CERT_PATH": sys.executable,  # what only MLflow knows
    }
    child = subprocess.Popen(
        command(tmp_path),
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not [path for path in tmp_path.glob(".download-*") if path != stale]:
        assert child.poll() is None, child.stdout
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    printed, _ = child.communicate(timeout=30)
    assert (child.returncode, printed) == (128 + signal.SIGTERM, b"")
    assert list(tmp_path.iterdir()) == []


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
    variable: str,
    works: bool,
    own_authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = "true" if variable.endswith("TLS") else str(own_authority.with_name("certificate"))
    monkeypatch.setenv(variable, value)
    digest = cached(tmp_path)
    with stub_server(own_authority, content=production(digest)) as server:
        if works:
            assert ask(server.url, tmp_path)["digest"] == digest
        else:
            with pytest.raises(LeftToMlflowError):
                ask(server.url, tmp_path)


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


def test_of_two_workers_the_slower_leaves_the_model_of_the_quicker(
    finished: Any, tmp_path: Path
) -> None:
    good = finished[0].model
    digest = folder_digest(good)

    quicker = []

    def download(scratch: Path) -> Path:
        quicker.append(shutil.copytree(good, tmp_path / digest).stat().st_ino)
        return shutil.copytree(good, scratch / "model")

    assert stored(tmp_path, digest, download) == tmp_path / digest
    assert [(tmp_path / digest).stat().st_ino] == quicker
    assert [path.name for path in tmp_path.iterdir()] == [digest]
