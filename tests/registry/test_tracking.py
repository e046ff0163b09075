import datetime
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from web import stub_server

from carprice.errors import InputError, RefusedError
from carprice.registry.tracking import (
    connect,
    experiment_id,
    log_values,
    start_run,
    tracking_uri,
)
from carprice.registry.versions import Registry
from carprice.settings import TrackingSettings, load_settings

SERVER, HUB = "https://server.example.org", "https://dagshub.com"


@pytest.mark.parametrize(
    ("environment", "tracking", "uri"),
    [
        ({}, {}, "sqlite:///{here}/mlflow.db"),
        ({"MLFLOW_TRACKING_URI": ""}, {}, "sqlite:///{here}/mlflow.db"),
        ({"DAGSHUB_USER_TOKEN": "t"}, {}, "sqlite:///{here}/mlflow.db"),
        ({}, {"uri": SERVER}, SERVER),
        ({"WHERE": SERVER}, {"uri": "${WHERE}"}, SERVER),
        ({"MLFLOW_TRACKING_URI": SERVER}, {}, SERVER),
        ({"MLFLOW_TRACKING_URI": SERVER}, {"uri": "https://other"}, SERVER),
        ({"MLFLOW_TRACKING_URI": SERVER}, {"dagshub": "me/cars"}, SERVER),
        ({"MLFLOW_TRACKING_URI": ""}, {"uri": SERVER}, SERVER),
        ({}, {"dagshub": "me/cars"}, f"{HUB}/me/cars.mlflow"),
        ({}, {"uri": "${NOT_SET:-}", "dagshub": "me/cars"}, f"{HUB}/me/cars.mlflow"),
        ({"DAGSHUB_CLIENT_HOST": SERVER}, {"dagshub": "A-b/c_d.e"}, f"{SERVER}/A-b/c_d.e.mlflow"),
        ({"DAGSHUB_CLIENT_HOST": f"{SERVER}/"}, {"dagshub": "m/c"}, f"{SERVER}/m/c.mlflow"),
    ],
)
def test_configuration_says_where_runs_and_models_go(
    environment: dict[str, str],
    tracking: dict[str, str],
    uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = TrackingSettings.model_validate(tracking)
    assert tracking_uri(tmp_path, settings) == uri.format(here=tmp_path)


@pytest.mark.parametrize(
    ("tracking", "words"),
    [
        (
            {"uri": SERVER, "dagshub": "me/cars"},
            "tracking: tracking.uri and tracking.dagshub are both set; keep one of them",
        ),
        *(
            ({"dagshub": name}, "tracking.dagshub: is no repository on DagsHub; write owner/repo")
            for name in ("cars", "me/cars.mlflow", "me/cars.git", "/cars", "me/", "a/b/c", "m e/c")
        ),
        ({"dagshub": "https://me:<s3cret>@dagshub.com/me/cars"}, "is no repository on DagsHub"),
        ({"dagshub": "me/.."}, "is no repository on DagsHub"),
    ],
)
def test_a_place_that_is_none_or_two_is_an_error_that_names_the_keys(
    tracking: dict[str, str], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"tracking": tracking}))
    with pytest.raises(InputError) as refused:
        load_settings(path)
    assert words in str(refused.value)
    assert "s3cret" not in str(refused.value)


LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def test_the_login_of_dagshub_is_for_dagshub_alone(
    dagshub, empty_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**dagshub.environment, LOGIN[0]: "ann"}.items():
        monkeypatch.setenv(name, value)
    connect(dagshub.uri)
    assert [os.environ[name] for name in LOGIN] == [dagshub.user, dagshub.token]
    connect(tracking_uri(empty_registry))
    assert [os.environ.get(name) for name in LOGIN] == ["ann", None]
    connect(dagshub.uri)
    monkeypatch.setenv(LOGIN[0], "bob")
    connect(tracking_uri(empty_registry))
    assert [os.environ.get(name) for name in LOGIN] == ["bob", None]


@pytest.mark.parametrize(
    ("how", "call", "method"),
    [
        *(
            (how, "registered-models/alias", "get_model_version_by_alias")
            for how in ("page", "endpoint", "detail", "resource", "method", "page-501")
        ),
        ("page", "logged-models", "create_logged_model"),
        ("endpoint", "logged-models", "create_logged_model"),
    ],
)
def test_a_call_that_the_server_lacks_is_named_and_not_taken_for_no_alias(
    how: str,
    call: str,
    method: str,
    dagshub,
    dagshub_like,
    register,
    finished,
    tmp_path,
    monkeypatch,
) -> None:
    import mlflow

    place = (dagshub.upstream, tmp_path, dagshub.token, dagshub.user, dagshub.repo)
    with dagshub_like(*place, "--lacking", call, "--unknown", how) as lagging:
        for name, value in lagging.environment.items():
            monkeypatch.setenv(name, value)
        ask = Registry(lagging.uri, "cars that lag").at, "production"
        if call == "logged-models":
            ask = register, lagging.uri, "cars that lag", finished[0].model, tmp_path
        with pytest.raises(RefusedError) as refused:
            ask[0](*ask[1:])
    # By JSON a server does not say which path it lacks; the client's method is named.
    named = method if how in ("endpoint", "detail", "resource") else f"/api/2.0/mlflow/{call}"
    assert str(refused.value) == (
        f"MLflow at {lagging.uri} does not know the call {named}, which the client (MLflow "
        f"{mlflow.__version__}) makes: the server runs an older MLflow, or its address is not that "
        "of an MLflow server; update it, or use another server"
    )


def test_an_address_beside_the_server_is_told_as_that(dagshub) -> None:
    with pytest.raises(RefusedError, match="its address is not that of an MLflow server"):
        Registry(f"{dagshub.behind}/nothing", "used-car-price").versions()


def test_what_the_registry_does_not_have_is_no_missing_call(dagshub) -> None:
    registry = Registry(dagshub.behind, "an endpoint not found")
    assert registry.at("production") is None
    registry._client.create_registered_model(registry.name)
    assert registry.at("production") is None
    assert registry.versions() == []
    with pytest.raises(RefusedError, match="did not do what was asked") as refused:
        registry.tag(7, {"a": "b"})
    assert "does not know the call" not in str(refused.value)


@pytest.mark.parametrize("path", ["", "/" + "long/" * 60])
def test_a_server_that_is_not_there_is_named_in_one_line_without_credentials(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RefusedError) as refused:
        Registry(f"http://anna:<s3cret>@127.0.0.1:9{path}", "used-car-price").versions()
    message = str(refused.value)
    assert re.match(r"MLflow at http://\S*127\.0\.0\.1:9\S* cannot be reached ", message)
    assert message.endswith("check MLFLOW_TRACKING_URI, the server and its login")
    assert "s3cret" not in message
    assert "\n" not in message


def test_a_failing_server_is_asked_three_times_and_no_more() -> None:
    with stub_server(status=503) as failing:
        with pytest.raises(RefusedError, match="answers with HTTP status 503"):
            Registry(failing.url, "used-car-price").versions()
        assert 1 <= len(failing.asked) <= 3


def _named(version: object) -> dict[str, object]:
    """Return an answer with a version, whatever was asked."""
    found = {"name": "cars", "version": version}
    return {"model_version": found, "model_versions": [found], "registered_model": {}}


_ALIASES = {"aliases": [{"alias": "production", "version": "the third"}]}
_ODD_TAGS = {"name": "cars", "version": "1", "tags": [{"key": "digest", "value": {"a": "b"}}]}


@pytest.mark.parametrize(
    "content",
    [
        *map(_named, ("abc", "", None, "9" * 5000, {}, [])),
        {**_named("1"), "registered_model": _ALIASES, "model_version": 5},
        {"model_version": _ODD_TAGS, "model_versions": [_ODD_TAGS]},
        {"model_version": 5, "model_versions": 5},
    ],
)
def test_an_answer_that_no_registry_gives_is_told_in_one_line(content: object) -> None:
    with stub_server(content=content) as odd:
        registry = Registry(odd.url, "cars")
        for ask in (registry.versions, lambda: registry.at("production")):
            with pytest.raises(RefusedError) as refused:
                ask()
            told = str(refused.value)
            assert told.startswith(f"MLflow at {odd.url} does not answer ")
            assert told.endswith("; check MLFLOW_TRACKING_URI, the server and its login")
            assert "\n" not in told
            assert len(told) < 500


def test_a_mistake_in_what_is_logged_is_not_the_servers(empty_registry: Path) -> None:
    with (
        pytest.raises(ValueError, match="ours"),
        start_run(tracking_uri(empty_registry), "trials", empty_registry, params={}, tags={}),
    ):
        raise ValueError("ours")


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database" * 100)
    with pytest.raises(RefusedError, match=r"MLflow at sqlite:.*/mlflow\.db is no SQLite [^\n]*$"):
        Registry(f"sqlite:///{tmp_path}/mlflow.db", "used-car-price").versions()


def test_runs_are_logged_to_an_experiment_that_is_made_on_the_way(empty_registry: Path) -> None:
    uri = tracking_uri(empty_registry)
    for seed in (1, 2):
        with start_run(uri, "trials", empty_registry, params={"seed": seed}, tags={"why": "test"}):
            pass
    with (
        pytest.raises(ZeroDivisionError),
        start_run(uri, "trials", empty_registry, params={"seed": 3}, tags={"why": "test"}),
    ):
        raise ZeroDivisionError
    client = connect(uri)
    experiment = client.get_experiment_by_name("trials")
    assert experiment.artifact_location == (empty_registry / "mlartifacts").as_uri()
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.params["seed"]: run.info.status for run in runs} == {
        "1": "FINISHED",
        "2": "FINISHED",
        "3": "FAILED",
    }
    assert {run.data.tags["why"] for run in runs} == {"test"}


def test_values_of_a_sequence_are_steps_of_one_figure(empty_registry: Path) -> None:
    uri = tracking_uri(empty_registry)
    client = connect(uri)
    number = experiment_id(client, uri, "folds", empty_registry)
    assert experiment_id(client, uri, "folds", empty_registry) == number
    run = client.create_run(number).info.run_id
    now = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)
    log_values(client, run, {"folds": 3}, {"fold_mape": [12.5, 13.0, 12.0], "mape": 12.5}, now)
    history = client.get_metric_history(run, "fold_mape")
    assert [(one.step, one.value) for one in history] == [(1, 12.5), (2, 13.0), (3, 12.0)]
    assert client.get_run(run).data.metrics["mape"] == 12.5
    assert client.get_run(run).data.params == {"folds": "3"}


def test_a_run_is_logged_to_a_server_without_a_word_on_standard_output(
    dagshub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start_run(dagshub.behind, "far", tmp_path, params={"seed": 3}, tags={}) as run:
        pass
    assert capsys.readouterr().out == ""
    found = connect(dagshub.behind).get_run(run.info.run_id)
    assert found.data.params == {"seed": "3"}
    assert found.info.status == "FINISHED"
    assert not (tmp_path / "mlartifacts").exists()


@pytest.mark.parametrize(
    ("uri", "kind", "message"),
    [
        ("mysql+mysqldb://127.0.0.1:1/x", InputError, "needs the database driver MySQLdb; pip"),
        ("postgresql+psycopg://127.0.0.1:1/x", RefusedError, "not do what was asked: .*refused"),
    ],
)
def test_a_database_that_cannot_be_had_is_told_at_once(
    uri: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as error:
        connect(uri)
    assert "\n" not in str(error.value)


def test_without_mlflows_client_the_way_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the service's image."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI must be an MLflow server's http"):
        connect("sqlite:///mlflow.db")
