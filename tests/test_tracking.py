import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from carprice.errors import RefusedError
from carprice.registry import Registry
from carprice.tracking import connect, flatten, start_run, tracking_uri


class _Failing(http.server.ThreadingHTTPServer):
    """Answers 503 to everything, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def failing_server() -> Iterator[_Failing]:
    server = _Failing()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_environment_wins_over_the_configured_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_uri(tmp_path, "https://configured") == "https://configured"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://environment")
    assert tracking_uri(tmp_path, "https://configured") == "https://environment"


def test_without_an_address_runs_go_to_a_database_in_the_working_folder(tmp_path: Path) -> None:
    assert tracking_uri(tmp_path, None) == f"sqlite:///{tmp_path}/mlflow.db"


def test_figures_are_logged_under_dotted_keys() -> None:
    assert flatten({"a": 1, "by": {"make": {"Kia": 2.5}}}) == {"a": 1, "by.make.Kia": 2.5}


def test_a_server_that_is_not_there_is_named_in_one_line_without_credentials() -> None:
    with pytest.raises(RefusedError) as refused:
        Registry("http://anna:s3cret@127.0.0.1:9", "used-car-price").versions()
    message = str(refused.value)
    assert re.match(r"MLflow at http://\S*127\.0\.0\.1:9 cannot be reached ", message)
    assert message.endswith("check MLFLOW_TRACKING_URI, the server and its login")
    assert "s3cret" not in message
    assert "\n" not in message


def test_credentials_stay_hidden_where_a_long_message_is_cut() -> None:
    uri = "http://anna:s3cret@127.0.0.1:9/" + "long/" * 60
    with pytest.raises(RefusedError) as refused:
        Registry(uri, "used-car-price").versions()
    assert "s3cret" not in str(refused.value)


def test_a_failing_server_is_asked_three_times_and_no_more(failing_server: _Failing) -> None:
    registry = Registry(f"http://127.0.0.1:{failing_server.server_port}", "used-car-price")
    with pytest.raises(RefusedError, match="answers with HTTP status 503"):
        registry.versions()
    assert 1 <= failing_server.asked <= 3


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database" * 100)
    with pytest.raises(RefusedError, match=r"MLflow at sqlite:.*/mlflow\.db did not do") as refused:
        Registry(f"sqlite:///{tmp_path}/mlflow.db", "used-car-price").versions()
    assert "file is not a database" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_is_used_without_a_word_on_standard_output(
    mlflow_server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start_run(mlflow_server.url, "quiet", tmp_path, params={}, tags={}):
        pass
    assert capsys.readouterr().out == ""


def test_a_run_is_logged_to_an_experiment_that_is_made_on_the_way(tmp_path: Path) -> None:
    uri = tracking_uri(tmp_path, None)
    for seed in (1, 2):
        with start_run(uri, "trials", tmp_path, params={"seed": seed}, tags={"why": "test"}):
            pass
    client = connect(uri)
    experiment = client.get_experiment_by_name("trials")
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.params["seed"] for run in runs} == {"1", "2"}
    assert {run.data.tags["why"] for run in runs} == {"test"}


def test_a_run_is_logged_to_a_server(mlflow_server, tmp_path: Path) -> None:
    with start_run(mlflow_server.url, "far", tmp_path, params={"seed": 3}, tags={}) as run:
        pass
    found = connect(mlflow_server.url).get_run(run.info.run_id)
    assert found.data.params == {"seed": "3"}
    assert found.info.status == "FINISHED"
    assert not (tmp_path / "mlartifacts").exists()


def test_a_run_that_fails_is_marked_as_failed(tmp_path: Path) -> None:
    uri = tracking_uri(tmp_path, None)
    with (
        pytest.raises(ZeroDivisionError),
        start_run(uri, "trials", tmp_path, params={}, tags={}) as run,
    ):
        raise ZeroDivisionError
    assert connect(uri).get_run(run.info.run_id).info.status == "FAILED"
