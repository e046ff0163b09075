"""The short way of ``POST /predict`` beside the middleware and settings that once closed it."""

import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.direct import DirectRoute
from api.keeper import ServedModel
from api.service_settings import ServiceSettings

ORIGIN = "https://shop.example"


def is_direct(app: FastAPI) -> bool:
    return any(one.cls is DirectRoute for one in app.user_middleware)


@pytest.mark.parametrize(("body", "status"), [({"make": "Kia"}, 422), ([], 422)])
def test_the_short_way_passes_the_middleware_of_other_origins(
    settings: ServiceSettings, served: ServedModel, body: object, status: int
) -> None:
    app = create_app(settings.model_copy(update={"cors_origins": ORIGIN}), served)
    assert is_direct(app)
    assert app.user_middleware[-1].cls is DirectRoute
    with TestClient(app) as client:
        answer = client.post("/predict", json=body, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_the_log_tells_that_traces_close_the_short_way(
    settings: ServiceSettings,
    served: ServedModel,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("carprice"), "propagate", True)
    with caplog.at_level("INFO", "carprice.service"):
        app = create_app(settings.model_copy(update={"opentelemetry": True}), served)
    assert not is_direct(app)
    assert "POST /predict goes through the router" in caplog.text
