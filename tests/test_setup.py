import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import Carprice, Done, caller
from web import Stub, stub_server

from carprice.listings.dvc_remote import SET_IT, DataRemote, default_remote, project_root

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(empty_registry: Path, monkeypatch: pytest.MonkeyPatch, dvc_config: str) -> Path:
    """The DVC config as it is shipped, params and a registry; where the test works."""
    folder = empty_registry
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(dvc_config)
    (folder / "params.yaml").write_text("ingest: {source: sample}\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def carprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("carprice.listings.dvc_remote._SECONDS_TO_ANSWER", 1)
    return caller(monkeypatch, capsys)


def findings(done: Done) -> dict[str, tuple[bool, str]]:
    return {one["name"]: (one["ok"], one["detail"]) for one in json.loads(done.out)}


def objection(carprice: Carprice) -> str:
    """Return what ``setup check`` has against the data remote."""
    done = carprice("setup", "check", "--json")
    assert done.code == 1
    ok, detail = findings(done)["data remote"]
    assert not ok
    return detail


def test_the_projects_own_remote_is_a_placeholder_that_no_bucket_can_have(dvc_config: str) -> None:
    if default_remote(ROOT) is not None:
        pytest.skip("this clone has a remote of its own")
    assert "url = s3://<your-bucket>/carprice\n" in dvc_config
    assert (ROOT / ".dvc" / "config").read_text("utf-8").endswith(dvc_config)


def set_remote(project: Path, url: str, **options: str) -> None:
    """Name the default remote as ``dvc remote add`` and ``dvc remote modify`` do."""
    path = project / ".dvc" / "config"
    lines = [f"    {name} = {value}\n" for name, value in options.items()]
    path.write_text(
        path.read_text().replace("s3://<your-bucket>/carprice\n", url + "\n") + "".join(lines)
    )


def test_the_command_that_is_named_sets_the_default_remote(
    project: Path, carprice: Carprice, bucket: Any, s3: str, aws: str
) -> None:
    assert SET_IT in objection(carprice)
    given = re.search("`(.+)`", SET_IT)
    assert given is not None
    for command in (
        given[1].replace("bucket/path", "market/cars"),
        f"dvc remote modify storage endpointurl {s3}",
        "dvc remote modify storage region eu-central-1",
    ):
        subprocess.run([sys.executable, "-m", *command.split()], cwd=project, check=True)
    assert default_remote(project) == DataRemote("s3://market/cars", s3, "eu-central-1")
    done = carprice("setup", "check")
    assert done.code == 0
    for words in ("params.yaml, source sample", "s3://market/cars", "0 versions of used-car-price"):
        assert words in done.err
    assert "NOT OK" not in done.err
    assert aws not in (project / ".dvc" / "config").read_text() + done.out + done.err


@contextmanager
def unanswering(*backlog: int) -> Iterator[Stub]:
    """Take connections and never answer; refuse them where there is no backlog."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        for connections in backlog:
            listener.listen(connections)
        yield Stub(f"http://127.0.0.1:{listener.getsockname()[1]}")


REFUSAL = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
denying = partial(stub_server, status=403, content=REFUSAL)


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (denying, "access denied (AccessDenied); the AWS credentials in use need s3:ListBucket"),
        (partial(unanswering, 16), "cannot be reached: Read timeout"),
        (unanswering, "cannot be reached: Could not connect"),
    ],
)
def test_a_store_that_does_not_answer_or_refuses_is_named(
    store: Any, message: str, project: Path, carprice: Carprice, aws: str
) -> None:
    with store() as server:
        set_remote(project, "s3://market/cars", endpointurl=server.url)
        done = carprice("setup", "check", "--json")
    assert done.code == 1
    is_ok, told = findings(done)["data remote"]
    assert not is_ok
    assert message in told
    assert "s3://market/cars" in told
    assert aws not in done.out + done.err


def test_a_bucket_that_is_not_there_is_named(project: Path, carprice: Carprice, aws: str) -> None:
    set_remote(project, "s3://nowhere/cars")
    told = objection(carprice)
    assert "s3://nowhere/cars: there is no bucket 'nowhere'; make it" in told


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("", "needs AWS credentials and none were found; run `aws configure`"),
        ("cars", "The config profile (cars) could not be found"),
    ],
)
def test_without_a_login_the_usual_chain_is_named(
    profile: str,
    message: str,
    project: Path,
    carprice: Carprice,
    s3: str,
    no_aws_login: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_remote(project, "s3://market/cars", endpointurl=s3)
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert message in objection(carprice)


def test_a_folder_that_is_no_dvc_project_is_refused(
    tmp_path: Path, carprice: Carprice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = carprice("snapshot", f"{'0' * 32}.dir", "--out", "raw")
    assert done.code == 2
    assert "is no DVC project" in done.line
    assert list(tmp_path.iterdir()) == []


def test_a_subfolder_of_the_project_will_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "docs").mkdir()
    monkeypatch.chdir(project / "docs")
    assert project_root() == project


def test_a_config_that_dvc_cannot_read_is_named(project: Path, carprice: Carprice) -> None:
    (project / ".dvc" / "config").write_text("[core\n remote = storage\n")
    assert "DVC cannot read its config" in objection(carprice)


def test_a_remote_of_this_machine_alone_wins(project: Path) -> None:
    local = "[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../../mine\n"
    (project / ".dvc" / "config.local").write_text(local)
    found = default_remote(project)
    assert found is not None
    assert found.url.endswith("mine")


def test_check_names_the_remedy_of_each_that_is_not(project: Path, carprice: Carprice) -> None:
    (project / "params.yaml").write_text("inges: {}\n")
    done = carprice("setup", "check", "--json")
    assert done.code == 1
    found = findings(done)
    assert [ok for ok, _ in found.values()] == [False, False, False]
    assert "inges is not a parameter" in found["params file"][1]
    assert SET_IT in found["data remote"][1]
    assert "NOT OK" in carprice("setup", "check").err


def test_check_gives_up_on_what_does_not_answer(
    project: Path, carprice: Carprice, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_remote(project, "s3://market/cars")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with unanswering(16) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url.replace("//", "//ann:<s3cret>@"))
        done = carprice("setup", "check", "--json")
    assert done.code == 1
    assert [ok for ok, _ in findings(done).values()] == [True, False, False]
    assert "s3cret" not in done.out + done.err


@pytest.mark.parametrize("address", ["", "sqlite:///own.db", "file:///tmp/mlruns", "dagshub.com/a"])
def test_a_registry_of_this_machine_is_not_shared(
    address: str, project: Path, carprice: Carprice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    done = carprice("setup", "check", "--shared", "--json")
    assert done.code == 1
    ok, detail = findings(done)["registry"]
    assert not ok
    assert "of this machine alone; set MLFLOW_TRACKING_URI, or tracking.dagshub in" in detail
    assert not [*project.rglob("own*"), *project.rglob("mlruns")]


def test_a_server_is_shared_and_a_remote_of_another_kind_is_not_asked(
    project: Path, carprice: Carprice, mlflow_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_remote(project, "ssh://ann@store/cars")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    found = findings(carprice("setup", "check", "--shared", "--json"))
    assert found["registry"][0]
    assert found["data remote"][0]
    assert "not asked, for it is not S3" in found["data remote"][1]
