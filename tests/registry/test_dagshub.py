import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from command_line import Done, caller
from web import stub_server

from carprice.errors import InputError, RefusedError
from carprice.model_folder import folder_digest, is_intact
from carprice.redaction import hide_secrets
from carprice.registry import dagshub as hub
from carprice.registry import logins
from carprice.registry.cache import Production
from carprice.registry.rest import HttpRegistry
from carprice.registry.tracking import connect

ROOT = Path(__file__).resolve().parents[2]
NAME = "cars on dagshub"
WRONG = "dhp-a-token-that-nobody-made"
WRONG_LOGIN = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "<a wrong one>"}
LISTING = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}


def setting(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("host", "uri", "is_so"),
    [
        (None, "https://dagshub.com/me/cars.mlflow", True),
        (None, "https://ann:x@DagsHub.com:443/me/cars.mlflow", True),
        ("", "https://dagshub.com/me/cars.mlflow", True),
        (None, "http://dagshub.com/me/cars.mlflow", False),
        (None, "https://dagshub.com.example.org/me/cars.mlflow", False),
        (None, "https://example.org/dagshub.com/me/cars.mlflow", False),
        (None, "sqlite:///mlflow.db", False),
        (None, "https://[", False),
        (None, "https://dagshub.com:port/", False),
        ("https://hub.example.org", "https://hub.example.org/me/cars.mlflow", True),
        ("https://hub.example.org/", "https://dagshub.com/me/cars.mlflow", False),
        ("hub.example.org", "https://hub.example.org/me/cars.mlflow", False),
    ],
)
def test_the_token_is_for_one_host_by_one_scheme(
    host: str | None, uri: str, is_so: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host is not None:
        monkeypatch.setenv("DAGSHUB_CLIENT_HOST", host)
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", WRONG)
    assert logins.is_dagshub(uri) == is_so
    if not is_so:
        assert logins.dagshub_token(uri) is None


@pytest.mark.parametrize(
    "host", ["hub.example.org", "ftp://a", "https://ann:<s3cret>@a", "https://["]
)
def test_an_odd_host_is_named_by_its_variable(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSHUB_CLIENT_HOST", host)
    with pytest.raises(InputError, match="DAGSHUB_CLIENT_HOST is no address such as") as refused:
        logins.dagshub_address("me/cars")
    assert "s3cret" not in str(refused.value)


def test_the_newer_variable_wins_and_nothing_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert logins.token_variable() is None
    setting(monkeypatch, DAGSHUB_USER_TOKEN=" ", DAGSHUB_PAT="old")
    assert logins.token_variable() == "DAGSHUB_PAT"
    setting(monkeypatch, DAGSHUB_USER_TOKEN="new")
    assert logins.token_variable() == "DAGSHUB_USER_TOKEN"


@pytest.mark.parametrize(
    ("user_info", "variables"),
    [
        ("", {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "x"}),
        ("", {"MLFLOW_TRACKING_TOKEN": "x"}),
        ("ann:x@", {}),
    ],
)
def test_without_a_token_mlflows_own_login_is_taken(
    user_info: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, **variables)
    uri = f"https://{user_info}dagshub.com/me/cars.mlflow"
    assert logins.dagshub_token(uri) is None
    assert logins.header(uri)["Authorization"].split()[0] in ("Basic", "Bearer")


def test_without_any_login_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, MLFLOW_TRACKING_USERNAME="ann", DAGSHUB_PAT="")
    with stub_server() as odd:
        monkeypatch.setenv("DAGSHUB_CLIENT_HOST", odd.url)
        with pytest.raises(InputError, match="needs a token: set DAGSHUB_USER_TOKEN to one from"):
            hub.check_login(f"{odd.url}/me/cars.mlflow")
    assert odd.logins == []


@pytest.mark.parametrize("variable", logins.DAGSHUB_TOKENS)
def test_the_tokens_owner_is_the_user_and_is_asked_for_once(
    variable: str, dagshub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, DAGSHUB_CLIENT_HOST=dagshub.host, **{variable: WRONG})
    for _ in range(2):
        with pytest.raises(RefusedError, match=f"does not accept the token in {variable} "):
            hub.check_login(dagshub.uri)
    setting(monkeypatch, **{variable: f"{dagshub.token}\n"})
    hub.check_login(dagshub.uri)
    assert hub.user_of(dagshub.uri, dagshub.token) == dagshub.user
    monkeypatch.setattr(hub, "_ask", None)
    hub.check_login(dagshub.uri)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 401}, "does not accept the token in DAGSHUB_USER_TOKEN (HTTP status 401)"),
        ({"status": 403}, "does not accept the token in DAGSHUB_USER_TOKEN (HTTP status 403)"),
        ({"status": 404}, "does not answer as DagsHub does (HTTP status 404)"),
        ({"status": 503}, "does not answer as DagsHub does (HTTP status 503)"),
        ({"content": b"<html>"}, "does not answer as DagsHub does (HTTP status 200)"),
        ({"content": b"[]"}, "does not answer as DagsHub does (HTTP status 200)"),
        ({"content": b'{"username": 5}'}, "does not answer as DagsHub does (HTTP status 200)"),
        ({"status": 302, "headers": {"Location": "/"}}, "does not answer as DagsHub does (HTTP st"),
        ({"content": b"{}" * 99, "pause": 0.3}, "cannot be reached (no answer within 0.5 s)"),
    ],
)
def test_an_odd_answer_is_told_without_the_token(
    answer: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "pause" in answer:
        monkeypatch.setattr(hub, "_SECONDS", 0.5)
    with stub_server(**answer) as odd:
        setting(monkeypatch, DAGSHUB_CLIENT_HOST=odd.url, DAGSHUB_USER_TOKEN=WRONG)
        with pytest.raises(RefusedError) as refused:
            hub.check_login(f"{odd.url}/me/cars.mlflow")
    asked = {path for path, _ in odd.asked}
    assert asked <= {"/api/v1/user", "/api/v1/repos/me/cars"}  # no redirect is followed
    assert words in str(refused.value)
    assert WRONG not in str(refused.value)


def test_a_host_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, DAGSHUB_CLIENT_HOST="http://127.0.0.1:9", DAGSHUB_USER_TOKEN=WRONG)
    with pytest.raises(RefusedError, match=r"cannot be reached \(Connection refused\); check the"):
        hub.check_login("http://127.0.0.1:9/me/cars.mlflow")


@pytest.mark.parametrize("key", ["username", "login"])  # the older name
def test_the_package_of_dagshub_asks_for_the_user(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagshub as package

    with stub_server(content={key: "ann"}) as odd:
        setting(monkeypatch, DAGSHUB_CLIENT_HOST=odd.url, DAGSHUB_USER_TOKEN="a-token")
        hub.check_login(f"{odd.url}/me/cars.mlflow")
        assert hub.user_of(f"{odd.url}/me/cars.mlflow", "a-token") == "ann"
    assert odd.logins == ["Bearer a-token"] * 2
    agents = {headers["User-Agent"].split()[-1] for _, headers in odd.asked}
    assert agents == {f"dagshub-client-python/{package.__version__}"}


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén"])
def test_what_cannot_be_a_token_is_not_sent(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, DAGSHUB_USER_TOKEN=token)
    with pytest.raises(InputError, match="DAGSHUB_USER_TOKEN holds a blank or a sign") as refused:
        hub.check_login("https://dagshub.com/me/cars.mlflow")
    assert token not in str(refused.value)


def test_a_repository_that_is_not_there_is_named(
    dagshub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, **dagshub.environment)
    hub.check_login(dagshub.uri)
    with pytest.raises(RefusedError, match="has no repository me/boats, or the token in DAGSHUB_U"):
        hub.check_login(f"{dagshub.host}/me/boats.mlflow")
    hub.check_login(dagshub.host)


def test_the_tokens_and_a_name_alone_are_hidden_in_texts() -> None:
    environment = {"DAGSHUB_USER_TOKEN": "one ", "DAGSHUB_PAT": "two"}
    assert hide_secrets("it is one, or two", "", environment) == "it is ***, or ***"
    sent = base64.b64encode(b"<token>:").decode()
    hidden = hide_secrets(f"[<token>] [{sent}]", "https://<token>@store/x", {})
    assert hidden == "[***] [***]"


@pytest.mark.parametrize(
    ("uri", "environment"),
    [
        ("https://ann:<p%40ss%2Fw>@store/x", {}),
        (
            "https://store/x",
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "<p@ss/w>"},
        ),
        ("", {"MLFLOW_TRACKING_URI": "https://ann:<p%40ss%2Fw>@store/x"}),
    ],
)
def test_a_login_is_hidden_in_every_way_that_it_is_sent(
    uri: str, environment: dict[str, str]
) -> None:
    secret = "<p@ss/w>"
    sent = base64.b64encode(f"ann:{secret}".encode()).decode()
    for form in (secret, sent, quote(sent), quote(secret), quote(secret, safe="")):
        shown = hide_secrets(f"asked with [{form}] by somebody", uri, environment)
        assert shown == "asked with [***] by somebody"


def test_the_header_with_dagshubs_token_is_hidden(
    dagshub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, **dagshub.environment)
    assert hide_secrets(logins.header(dagshub.uri)["Authorization"]) == "Basic ***"
    connect(dagshub.uri)
    by_owner = base64.b64encode(f"{dagshub.user}:{dagshub.token}".encode()).decode()
    assert hide_secrets(f"Basic {by_owner}") == "Basic ***"


def write_params(folder: Path, **tracking: str) -> None:
    content = {"tracking": tracking, "register": {"name": NAME}}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def carprice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run a command as a person does: in a process of its own, at a terminal nobody types at."""
    opened = tmp_path / "a browser was opened"
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\ntouch '{opened}'\n")
    browser.chmod(0o755)
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR")}

    def run_alone(*arguments: object) -> Done:
        nobody, typing = os.pipe()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "carprice.cli", *map(str, arguments)],
                env={**os.environ, "BROWSER": str(browser), **homes},
                stdin=nobody,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            os.close(nobody)
            os.close(typing)
        assert not opened.exists()
        return Done(done.returncode, done.stdout, done.stderr)

    def run(
        *arguments: object, environment: Mapping[str, str], is_alone: bool = True, **tracking: str
    ) -> Done:
        write_params(tmp_path, **tracking)
        setting(monkeypatch, **environment)
        monkeypatch.chdir(tmp_path)
        done = (run_alone if is_alone else caller(monkeypatch, capsys))(*arguments)
        for name in logins.DAGSHUB_TOKENS:
            if environment.get(name):
                assert environment[name] not in done.printed
                kept = [path for path in tmp_path.rglob("*") if path.is_file()]
                assert [one for one in kept if environment[name].encode() in one.read_bytes()] == []
        return done

    return run


NOT_ACCEPTED = "DagsHub at {host} does not accept the token in DAGSHUB_USER_TOKEN (HTTP status 401)"
NOT_LOGGED_IN = "MLflow at {uri} answers with HTTP status 401; check"
NO_REPOSITORY = "tracking.dagshub: is no repository on DagsHub; write owner/repo"
NOWHERE = "http://127.0.0.1:9"
NOT_REACHED = f"DagsHub at {NOWHERE} cannot be reached (Connection refused)"


@pytest.mark.parametrize(
    ("command", "environment", "repository", "code", "words"),
    [
        ("status", {}, "me/cars", 2, "needs a token: set DAGSHUB_USER_TOKEN to one from {host}/u"),
        ("run", {}, "me/cars", 2, "needs a token: set DAGSHUB_USER_TOKEN to one from {host}/user"),
        ("status", {"DAGSHUB_USER_TOKEN": WRONG}, "me/cars", 1, NOT_ACCEPTED),
        ("run", {"DAGSHUB_USER_TOKEN": WRONG}, "me/cars", 1, NOT_ACCEPTED),
        ("run", {"DAGSHUB_PAT": WRONG}, "me/cars", 1, "does not accept the token in DAGSHUB_PAT "),
        ("run", {"DAGSHUB_USER_TOKEN": "right"}, "me/boats", 1, "has no repository me/boats, or"),
        ("run", {"DAGSHUB_CLIENT_HOST": NOWHERE, "DAGSHUB_PAT": WRONG}, "me/cars", 1, NOT_REACHED),
        ("status", {"DAGSHUB_CLIENT_HOST": "hub"}, "me/cars", 2, "DAGSHUB_CLIENT_HOST is no addr"),
        ("status", {}, "cars", 2, NO_REPOSITORY),
        ("status", WRONG_LOGIN, "me/cars", 1, NOT_LOGGED_IN),
    ],
)
def test_what_is_wrong_with_the_login_is_one_line_in_seconds(
    command: str,
    environment: dict[str, str],
    repository: str,
    code: int,
    words: str,
    dagshub: Any,
    carprice: Callable[..., Done],
) -> None:
    given = {"DAGSHUB_CLIENT_HOST": dagshub.host, **environment}
    if given.get("DAGSHUB_USER_TOKEN") == "right":
        given |= dagshub.environment
    # Where a token is missing or refused, a process of its own might ask somebody for one.
    is_alone = "token" in words
    done = carprice(command, is_alone=is_alone, environment=given, dagshub=repository)
    assert done.code == code, done.err
    assert words.format(host=dagshub.host, uri=dagshub.uri) in done.line
    assert WRONG_LOGIN["MLFLOW_TRACKING_PASSWORD"] not in done.line


@pytest.fixture(scope="module")
def registered(
    dagshub: Any, register: Callable[..., int], finished: Any, tmp_path_factory: Any
) -> Path:
    """Register a version by the token alone and put it into production; return its folder."""
    from carprice.registry.versions import Registry

    with pytest.MonkeyPatch.context() as monkeypatch:
        # Deleted at the end, like all that is set for MLflow's client.
        setting(monkeypatch, **dagshub.environment, **WRONG_LOGIN)
        scratch, folder = tmp_path_factory.mktemp("to-dagshub"), finished[0].model
        assert register(dagshub.uri, NAME, folder, scratch) == 1
        client = Registry(dagshub.uri, NAME)._client
        client.set_registered_model_alias(NAME, "production", "1")
    return folder


def test_a_version_is_registered_and_read_again_by_mlflow_and_by_plain_http(
    registered: Path, dagshub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carprice.registry.versions import Registry

    # A login in the address, and one for MLflow, are not the token's.
    setting(monkeypatch, **dagshub.environment, **WRONG_LOGIN)
    registry = Registry(dagshub.uri.replace("://", "://ann:x@"), NAME)
    version, digest = registry.at("production"), folder_digest(registered)
    assert version is not None
    assert version.digest == digest
    assert registry.at("staging") is None
    assert is_intact(registry.fetch(version, tmp_path), digest)
    with closing(HttpRegistry(registry.uri, NAME)) as plain:
        found = plain.version()
        assert found == Production("1", digest)
        (tmp_path / "plain").mkdir()
        assert is_intact(plain.download(found, tmp_path / "plain"), digest)


def test_the_command_line_reads_it_by_the_settings(
    registered: Path, dagshub: Any, carprice: Callable[..., Done]
) -> None:
    done = carprice("status", "--json", environment=dagshub.environment, dagshub=dagshub.repo)
    assert done.code == 0, done.err
    assert [version["number"] for version in json.loads(done.out)] == [1]


def test_the_token_stands_in_nothing_that_the_server_keeps(registered: Path, dagshub: Any) -> None:
    token, folder = dagshub.token.encode(), dagshub.upstream.log.parent
    kept = [path for path in folder.rglob("*") if path.is_file() and path.name != "auth.ini"]
    assert {"mlflow.db", "MLmodel"} <= {path.name for path in kept}
    assert [path for path in kept if token in path.read_bytes()] == []


def test_plain_http_sends_the_token_only_when_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with stub_server(status=401) as odd:
        setting(monkeypatch, DAGSHUB_CLIENT_HOST=odd.url, DAGSHUB_USER_TOKEN=WRONG)
        with closing(HttpRegistry(f"{odd.url}/me/cars.mlflow", NAME)) as registry:
            assert odd.logins == []
            with pytest.raises(RefusedError, match="does not accept the token"):
                registry.version()
    assert odd.logins == ["Basic " + base64.b64encode(f"{WRONG}:{WRONG}".encode()).decode()]


SERVICE = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}"]


def wait_for(server: Any, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not is_so(seen := json.loads(server.get("/")[1])):
        assert time.monotonic() < deadline, (seen, server.log.read_text()[-3000:])
        time.sleep(0.05)
    return seen


def service_variables(dagshub: Any, cache: Path) -> dict[str, str]:
    return {
        **dagshub.environment,
        "MLFLOW_TRACKING_URI": dagshub.uri,
        "CARPRICE_MODEL_NAME": NAME,
        "CARPRICE_MODEL_CACHE": str(cache),
        "CARPRICE_DRAIN_SECONDS": "0",
        "PYTHONPATH": str(ROOT),
    }


def test_the_service_needs_the_token_only_and_starts_from_its_cache_without_a_good_one(
    registered: Path, dagshub: Any, serve: Any, tmp_path: Path
) -> None:
    environment = service_variables(dagshub, tmp_path / "cache")
    with serve(SERVICE, tmp_path, "/", environment) as server:
        wait_for(server, lambda seen: seen["source"] == "registry")
        assert server.post("/predict", LISTING)[0] == 200
    faults = {
        "does not accept the token in DAGSHUB_USER_TOKEN": {"DAGSHUB_USER_TOKEN": WRONG},
        "needs a token: set DAGSHUB_USER_TOKEN": {"DAGSHUB_USER_TOKEN": ""},
        "cannot be reached (Connection refused)": {
            "DAGSHUB_CLIENT_HOST": NOWHERE,
            "MLFLOW_TRACKING_URI": dagshub.uri.replace(dagshub.host, NOWHERE),
        },
    }

    def start_under(words: str) -> Path:
        change, folder = faults[words], tmp_path / f"{[*faults].index(words)}"
        record = shutil.copytree(tmp_path / "cache", folder / "cache") / f"{NAME}.json"
        moved = change.get("DAGSHUB_CLIENT_HOST", dagshub.host)
        record.write_text(record.read_text().replace(dagshub.host, moved))
        change = {**change, "CARPRICE_MODEL_CACHE": str(record.parent)}
        with serve(SERVICE, folder, "/", {**environment, **change}) as server:
            seen = wait_for(server, lambda seen: words in (seen["detail"] or ""))
            assert seen["source"] == "cache"
            assert server.post("/predict", LISTING)[0] == 200
        assert "127.0.0.1" not in seen["detail"]
        return server.log

    with ThreadPoolExecutor() as threads:
        for log in (server.log, *threads.map(start_under, faults)):
            assert dagshub.token not in log.read_text()
            assert WRONG not in log.read_text()


def test_a_dagshub_that_hangs_holds_the_service_no_longer_than_its_deadline(
    registered: Path, dagshub: Any, serve: Any, tmp_path: Path
) -> None:
    with stub_server(content=b"{}" * 10_000, pause=0.2) as odd:
        uri = f"{odd.url}/me/cars.mlflow"
        digest = folder_digest(registered)
        environment = {
            **service_variables(dagshub, tmp_path / "cache"),
            "DAGSHUB_CLIENT_HOST": odd.url,
            "MLFLOW_TRACKING_URI": uri,
            "CARPRICE_START_SECONDS": "0.5",
            "CARPRICE_BAKED_MODEL": str(registered),
        }
        with serve(SERVICE, tmp_path, "/", environment) as server:
            seen = wait_for(server, lambda seen: "within 0.5 s" in (seen["detail"] or ""))
        assert (seen["source"], seen["modelVersion"]) == ("image", digest[:12])
        assert server.process.returncode == 0
        assert dagshub.token not in server.log.read_text()


def test_serve_takes_the_repository_from_the_settings(
    registered: Path, dagshub: Any, serve: Any, tmp_path: Path
) -> None:
    write_params(tmp_path, dagshub=dagshub.repo)
    command = [sys.executable, "-m", "carprice.cli", "serve", "--port", "{port}", "--workers"]
    environment = {**dagshub.environment, "CARPRICE_DRAIN_SECONDS": "0", "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        each = [serve([*command, workers], tmp_path, "/", environment) for workers in ("1", "2")]
        servers = [*map(stack.enter_context, each)]
        for server in servers:
            # The other worker may answer, and still be asking; the cache may answer first.
            wait_for(server, lambda seen: seen["source"] == "registry")
            server.process.terminate()  # both at the same time, for each waits for quiet first
    for server in servers:
        assert dagshub.token not in server.log.read_text()
