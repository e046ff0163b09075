"""Every route is asked, where nothing can be imported but what the service needs."""

from collections.abc import Iterator
from typing import Any

import pytest
from asking import ask_every_route
from fastapi.testclient import TestClient

from api.app import create_app
from api.service_settings import ServiceSettings
from carprice.model_tests.clean_process import RunningService, running
from carprice.model_tests.documented import documented


@pytest.fixture(scope="module")
def service(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running(finished[0].model, tmp_path_factory.mktemp("clean"), 120) as service:
        yield service


def test_no_route_fails_where_only_what_serving_requires_is_installed(
    service: RunningService,
) -> None:
    ask_every_route(service.http.request)
    assert '"trace"' not in service.log.read_text(encoding="utf-8")


def test_pages_are_made_of_what_serving_requires(service: RunningService) -> None:
    for path in ("/model-card", "/app/stock"):
        assert service.http.get(path).status_code == 200


def test_the_version_of_mlflow_is_told_where_it_is_not_installed(service: RunningService) -> None:
    answer = service.http.get("/version")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.startswith("3.")


def test_without_a_model_only_routes_that_say_so_answer_503(settings: ServiceSettings) -> None:
    app = create_app(settings)
    document = app.openapi()
    parameters = {"name": settings.model_name, "version": "1"}
    states = {
        path.format_map(parameters): operation["responses"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
    }
    with TestClient(app) as client:
        for one in documented(document, parameters):
            status = client.request(**one.sent()).status_code
            assert status in (200, 503), one
            assert str(status) in states[one.path], one
