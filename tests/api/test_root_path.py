import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from asking import BARE
from browser import needs_browser, try_a_price_out

from api.root_path import OWN_PATHS
from api.service_settings import ServiceSettings
from carprice.errors import InputError

PREFIX = "/cars"
HASH = "0" * 64
WAYS = ("/", "/ready", "/live", "/metrics", "/model", "/vocabulary", "/v2/health/ready")


@pytest.fixture(scope="module")
def behind(start: Any) -> Iterator[Any]:
    """A running service that is told its prefix."""
    with start("--root-path", PREFIX) as server:
        yield server


@pytest.fixture(scope="module", params=["handed on", "stripped"])
def proxy(
    request: pytest.FixtureRequest, behind: Any, serve: Any, tmp_path_factory: Any
) -> Iterator[Any]:
    """A real reverse proxy before the service; all but the prefix is unknown to it."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    strip = f"http-request replace-path {PREFIX}(/.*)? \\1" if request.param == "stripped" else ""
    folder: Path = tmp_path_factory.mktemp("proxy")
    settings = f"""
        defaults
          mode http
          timeout connect 30s
          timeout client 30s
          timeout server 30s
        frontend all
          bind 127.0.0.1:PORT
          http-request deny deny_status 404 unless {{ path_beg {PREFIX}/ }}
          {strip}
          default_backend service
        backend service
          server service 127.0.0.1:{behind.port}
        """
    (folder / "haproxy.cfg").write_text(dedent(settings), encoding="utf-8")
    script = "sed -i s/PORT/{port}/ haproxy.cfg && exec haproxy -db -f haproxy.cfg"
    with serve(["sh", "-c", script], folder, f"{PREFIX}/live") as server:
        yield server


def test_a_proxy_that_strips_the_prefix_or_not_gets_every_answer(proxy: Any) -> None:
    for way in WAYS:
        assert proxy.get(PREFIX + way)[0] == 200, way
    status, answer = proxy.post(f"{PREFIX}/predict", BARE)
    assert (status, answer["currency"]) == (200, "INR")
    assert proxy.post(f"{PREFIX}/explain", BARE)[0] == 200
    assert proxy.post(f"{PREFIX}/predict/batch", {"listings": [BARE]})[1]["priced"] == 1
    assert f"see {PREFIX}/docs" in proxy.get(f"{PREFIX}/nowhere")[1]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_all_that_a_page_loads_is_below_the_prefix(proxy: Any, page: str) -> None:
    status, text = proxy.get(PREFIX + page)
    assert status == 200
    loaded = re.findall(r"""(?:src|href|spec-url|url)(?:=|: )["'](/[^"']+)""", text)
    assert f"{PREFIX}/openapi.json" in loaded
    assert len(loaded) >= 3
    for path in loaded:
        assert proxy.get(path)[0] == 200, path
    assert f'"servers":[{{"url":"{PREFIX}"}}]' in proxy.get(f"{PREFIX}/openapi.json")[1]


@needs_browser
def test_a_browser_behind_the_proxy_tries_a_price_out(proxy: Any) -> None:
    try_a_price_out(proxy.url + PREFIX)


def test_who_asks_without_the_proxy_needs_no_prefix(behind: Any) -> None:
    for way in WAYS:
        assert behind.get(way)[0] == behind.get(PREFIX + way)[0] == 200, way
    assert behind.get(PREFIX)[0] == 200
    assert behind.get("/carsandmore")[0] == behind.get("/cars/cars/model")[0] == 404


def test_keys_are_asked_for_and_health_is_not_logged_below_a_prefix(client_with: Any) -> None:
    with client_with(root_path=PREFIX, api_keys=f"shop:{HASH}") as client:
        for path in ("/", "/docs", "/openapi.json"):
            assert client.get(PREFIX + path).status_code == 200
        for path in ("/predict", PREFIX + "/predict"):
            assert client.post(path, json=BARE).status_code == 401
        assert "script-src" in client.get(PREFIX + "/docs").headers["Content-Security-Policy"]


def test_the_counters_hold_the_routes_without_the_prefix(behind: Any) -> None:
    assert behind.post(f"{PREFIX}/predict", BARE)[0] == 200
    counted = behind.get("/metrics")[1]
    assert 'path="/predict"' in counted
    assert f'"{PREFIX}' not in counted


@pytest.mark.parametrize(
    ("given", "is_read_as"),
    [("", ""), ("/", ""), ("cars", "/cars"), ("/cars/", "/cars"), ("/a/b", "/a/b")],
)
def test_a_prefix_is_written_with_slashes_or_without(given: str, is_read_as: str) -> None:
    environment = {"CARPRICE_ROOT_PATH": given}
    assert ServiceSettings.from_environment(environment).root_path == is_read_as


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("https://shop.example/cars", "is no path; write it without host and spaces"),
        ("/a b", "is no path; write it without host and spaces"),
        ("/../x", "is no path"),
        ("/predict", "/predict is a path of the service itself; take another prefix"),
        ("/v2/cars", "/v2 is a path of the service itself; take another prefix"),
    ],
)
def test_what_can_be_no_prefix_is_refused(given: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        ServiceSettings.from_environment({"CARPRICE_ROOT_PATH": given})
    assert str(caught.value).startswith("CARPRICE_ROOT_PATH: ")
    assert words in str(caught.value)


def test_a_service_does_not_start_with_what_can_be_no_prefix() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api", "--root-path", "/predict"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_every_path_of_the_service_is_known_as_its_own(client: Any) -> None:
    shown = {path.split("/")[1] for path in client.get("/openapi.json").json()["paths"]}
    hidden = {"app", "docs", "metrics", "model-card", "openapi.json", "outcomes", "redoc"}
    hidden.add("static-offline-docs")
    assert (shown | hidden) - {""} == OWN_PATHS
