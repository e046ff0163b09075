import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Carprice, Done, caller

from carprice.listings.remote import DataRemote, default_remote, set_default

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dvc_config: str) -> Path:
    """A folder with the DVC config as it is shipped, and params; where the test works."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(dvc_config)
    (folder / "params.yaml").write_text("ingest: {source: sample}\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def carprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("COLUMNS", "300")

    return caller(monkeypatch, capsys)


def config(project: Path) -> str:
    return (project / ".dvc" / "config").read_text()


def test_the_projects_own_remote_is_a_placeholder_that_no_bucket_can_have(dvc_config: str) -> None:
    remote = default_remote(ROOT)
    assert remote is not None
    if not remote.is_placeholder:
        pytest.skip("this clone has a remote of its own")
    assert remote.url == "s3://<your-bucket>/carprice"
    assert (ROOT / ".dvc" / "config").read_text().endswith(dvc_config)


def test_the_default_remote_is_set_by_one_command(
    project: Path, carprice: Carprice, bucket: Any, aws: str
) -> None:
    done = carprice("setup", "remote", "s3://market/cars/")
    assert done.code == 0
    assert "The data remote is s3://market/cars" in done.err
    assert config(project).endswith(
        "    remote = storage\n['remote \"storage\"']\n    url = s3://market/cars\n"
    )
    assert "analytics = false" in config(project)
    command = [sys.executable, "-m", "dvc", "remote", "list"]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["storage", "s3://market/cars", "(default)"]
    assert aws not in config(project) + done.out + done.err
    assert [path.name for path in (project / ".dvc").iterdir() if path.name != "tmp"] == ["config"]


def test_an_endpoint_and_a_region_are_kept_and_go_with_the_next_remote(
    project: Path, carprice: Carprice, bucket: Any, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = ("--endpoint-url", s3, "--region", "eu-central-1")
    assert carprice("setup", "remote", "s3://market/cars", *options).code == 0
    assert default_remote(project) == DataRemote("s3://market/cars", s3, "eu-central-1")
    assert carprice("setup", "remote", "s3://market/other", "--no-check").code == 0
    assert default_remote(project) == DataRemote("s3://market/other")


def test_other_remotes_and_settings_stay(project: Path, carprice: Carprice, bucket: Any) -> None:
    with (project / ".dvc" / "config").open("a") as file:
        file.write("['remote \"backup\"']\n    url = ../../backup\n[cache]\n    type = copy\n")
    assert carprice("setup", "remote", "s3://market/cars").code == 0
    assert "url = ../../backup" in config(project)
    assert "type = copy" in config(project)


def test_what_is_not_of_the_bucket_goes_with_the_next_one(
    project: Path, carprice: Carprice
) -> None:
    with (project / ".dvc" / "config").open("a") as file:
        file.write("    profile = cars\n    sse = AES256\n    region = eu-central-1\n")
    assert carprice("setup", "remote", "S3://Market/cars", "--no-check").code == 0
    assert default_remote(project) == DataRemote("s3://Market/cars", profile="cars")
    assert "sse = AES256" in config(project)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://mar\nket/cars"], "the address holds a line break"),
        (["s3://market", "--region", "eu\n[core]"], "--region holds a line break"),
        (["market/cars"], "market/cars is not s3://bucket/path; .*dvc remote modify storage url"),
        (["gs://market/cars"], "gs://market/cars is not s3://bucket/path"),
        (["s3://"], "s3:// is not s3://bucket/path"),
        (["s3://[half"], "is not s3://bucket/path"),
        (["s3://ann:<s3cret>@market/cars"], "s3://market/cars was given with a login or query"),
        (["s3://market/cars?token=s3cret"], "s3://market/cars was given with a login or query"),
        (["s3://<your-bucket>/carprice"], "is the placeholder; name a bucket of yours"),
        (["s3://10.0.0.1:9000/cars"], "'10.0.0.1:9000' cannot be a bucket's name; .*--endpoint"),
        (["s3://market", "--endpoint-url", "store:9000"], r"is not http\(s\)://host:port"),
        (["s3://market", "--endpoint-url", "http://ann:<s3cret>@store"], "holds a login or query"),
    ],
)
def test_an_address_that_is_none_is_refused(
    arguments: list[str], message: str, project: Path, carprice: Carprice, dvc_config: str
) -> None:
    done = carprice("setup", "remote", *arguments)
    assert done.code == 2
    assert re.search(message, done.line), done.line
    assert "s3cret" not in done.line
    assert config(project) == dvc_config


class _Denying(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def denying() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Denying) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def hanging() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def closed() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (denying, "access denied; the AWS credentials in use need s3:ListBucket"),
        (hanging, "cannot be reached: Read timeout"),
        (closed, "cannot be reached: Could not connect"),
    ],
)
def test_a_store_that_does_not_answer_or_refuses_is_named_in_time(
    store: Any, message: str, project: Path, carprice: Carprice, aws: str, dvc_config: str
) -> None:
    with store() as url:
        begun = time.monotonic()
        done = carprice("setup", "remote", "s3://market/cars", "--endpoint-url", url)
    assert time.monotonic() - begun < 15
    assert done.code == 1
    assert message in done.line
    assert "s3://market/cars" in done.line
    assert aws not in done.line
    assert config(project) == dvc_config


def test_a_bucket_that_is_not_there_is_named(
    project: Path, carprice: Carprice, aws: str, dvc_config: str
) -> None:
    done = carprice("setup", "remote", "s3://nowhere/cars")
    assert done.code == 1
    assert "s3://nowhere/cars: there is no bucket 'nowhere'; make it" in done.line
    assert config(project) == dvc_config


def test_without_credentials_the_usual_chain_is_named(
    project: Path, carprice: Carprice, s3: str, no_aws_login: None, dvc_config: str
) -> None:
    done = carprice("setup", "remote", "s3://market/cars", "--endpoint-url", s3)
    assert done.code == 1
    assert "needs AWS credentials and none were found; run `aws configure`" in done.line
    assert config(project) == dvc_config


def test_a_profile_that_is_not_there_is_named(
    project: Path, carprice: Carprice, no_aws_login: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "cars")
    done = carprice("setup", "remote", "s3://market/cars")
    assert done.code == 1
    assert "The config profile (cars) could not be found" in done.line


def test_no_check_sets_the_remote_unasked(
    project: Path, carprice: Carprice, no_aws_login: None
) -> None:
    assert carprice("setup", "remote", "s3://market/cars", "--no-check").code == 0
    assert default_remote(project) == DataRemote("s3://market/cars")


def test_a_folder_that_is_no_dvc_project_is_refused(
    tmp_path: Path, carprice: Carprice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = carprice("setup", "remote", "s3://market/cars")
    assert done.code == 2
    assert "is no DVC project" in done.line
    assert list(tmp_path.iterdir()) == []


def test_a_subfolder_of_the_project_will_do(
    project: Path, carprice: Carprice, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "docs").mkdir()
    monkeypatch.chdir(project / "docs")
    assert carprice("setup", "remote", "s3://market/cars", "--no-check").code == 0
    assert "s3://market/cars" in config(project)


def test_a_config_that_dvc_cannot_change_stays(project: Path, carprice: Carprice) -> None:
    broken = "[core\n remote = storage\n"
    (project / ".dvc" / "config").write_text(broken)
    done = carprice("setup", "remote", "s3://market/cars", "--no-check")
    assert done.code == 2
    assert "DVC cannot change" in done.line
    assert config(project) == broken


def test_a_failure_between_dvcs_commands_leaves_the_old_config(
    project: Path, monkeypatch: pytest.MonkeyPatch, dvc_config: str
) -> None:
    import carprice.listings.remote as module

    run = module._dvc
    done = []

    def stops_at_the_second(folder: Path, *arguments: str) -> Any:
        done.append(arguments)
        if len(done) > 1:
            raise KeyboardInterrupt
        return run(folder, *arguments)

    monkeypatch.setattr(module, "_dvc", stops_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        set_default(project, DataRemote("s3://market/cars", "http://store:9000"))
    assert config(project) == dvc_config


def test_a_remote_of_this_machine_alone_wins_and_is_told(project: Path, carprice: Carprice) -> None:
    local = "[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../../mine\n"
    (project / ".dvc" / "config.local").write_text(local)
    done = carprice("setup", "remote", "s3://market/cars", "--no-check")
    assert done.code == 0
    assert ".dvc/config.local names another default remote" in done.err


def findings(done: Done) -> dict[str, tuple[bool, str]]:
    return {one["name"]: (one["ok"], one["detail"]) for one in json.loads(done.out)}


def test_check_says_that_all_is_in_order(
    project: Path, carprice: Carprice, bucket: Any, aws: str
) -> None:
    carprice("setup", "remote", "s3://market/cars")
    done = carprice("setup", "check")
    assert done.code == 0
    for words in ("params.yaml, source sample", "s3://market/cars", "0 versions of used-car-price"):
        assert words in done.err
    assert "NOT OK" not in done.err
    assert aws not in done.out + done.err


def test_check_names_the_remedy_of_each_that_is_not(project: Path, carprice: Carprice) -> None:
    (project / "params.yaml").write_text("inges: {}\n")
    done = carprice("setup", "check", "--json")
    assert done.code == 1
    found = findings(done)
    assert [ok for ok, _ in found.values()] == [False, False, False]
    assert "inges is not a parameter" in found["params file"][1]
    assert "run `carprice setup remote s3://bucket/path`" in found["data remote"][1]
    assert "NOT OK" in carprice("setup", "check").err


def test_check_finds_what_does_not_answer_in_time(
    project: Path, carprice: Carprice, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    carprice("setup", "remote", "s3://market/cars", "--no-check")
    with hanging() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url.replace("//", "//ann:<s3cret>@"))
        begun = time.monotonic()
        done = carprice("setup", "check", "--json")
        assert time.monotonic() - begun < 30
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
    assert not [*project.glob("*.db")]


def test_a_server_is_shared(
    project: Path, carprice: Carprice, mlflow_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    assert findings(carprice("setup", "check", "--shared", "--json"))["registry"][0]


def test_check_does_not_ask_a_remote_of_another_kind(project: Path, carprice: Carprice) -> None:
    set_default(project, DataRemote("ssh://ann@store/cars"))
    found = findings(carprice("setup", "check", "--json"))
    assert found["data remote"][0]
    assert "not asked, for it is not S3" in found["data remote"][1]
