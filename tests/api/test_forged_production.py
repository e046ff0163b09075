"""Whoever writes to the registry sets the alias by hand: real services beside a real server."""

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from carprice.redaction import PROMOTION_KEY
from carprice.registry.promotion import rollback

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
UNRECORDED = "carprice_model_unrecorded"


def health_when(server: Any, is_so: Callable[[Any], object]) -> Any:
    """Return what a service tells of its health once it is so."""
    deadline = time.monotonic() + 60
    while True:
        health = requests.get(server.url, timeout=30).json()
        if is_so(health):
            return health
        assert time.monotonic() < deadline, health
        time.sleep(0.1)


def unrecorded(server: Any) -> float:
    lines = requests.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    return next(float(one.split()[1]) for one in lines if one.startswith(UNRECORDED))


@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_an_alias_that_was_set_by_hand_is_told_of_or_refused(
    store: Any,
    following: dict[str, str],
    start: Any,
    finished: Any,
    another_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    registry = store.registry
    with (
        start(**following, **{PROMOTION_KEY: ""}) as lenient,
        start(**following, CARPRICE_REQUIRE_RECORD="true") as strict,
    ):
        for server in (lenient, strict):
            assert health_when(server, lambda now: now["source"] == "registry")["detail"] is None
            assert unrecorded(server) == 0
        dear = another_model(finished[0].model, tmp_path / "dear")
        version = store.stage(dear, "figures: 45 %", is_shared=False)
        registry.point("production", version.number, NOW)
        words = f"version {version.number} of {registry.name} is in production, but it failed the"
        for server, served in ((lenient, "2"), (strict, "1")):
            health = health_when(
                server,
                lambda now, served=served: (
                    words in (now["detail"] or "") and now["modelVersion"] == served
                ),
            )
            assert health["status"] == "ok"
            assert unrecorded(server) == 1
            assert words in server.log.read_text()
        assert rollback(registry, NOW, "nobody promoted that").number == 1
        for server in (lenient, strict):
            health_when(server, lambda now: now["modelVersion"] == "1" and now["detail"] is None)
