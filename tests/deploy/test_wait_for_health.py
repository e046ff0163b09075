import re

import pytest
from delivery import Instance, Service, free_port

SCRIPT = "wait_for_health.sh"


@pytest.fixture
def instance(instance: Instance, service: Service) -> Instance:
    instance.settings["PORT"] = service.port
    instance.hurries()
    return instance


@pytest.mark.parametrize(
    ("health", "needed", "questions"),
    [
        ([200], 3, 3),
        ([200], 5, 5),
        ([503, 200], 3, 4),
        ([200, 200, 503, 200, 200, 200], 3, 6),
        ([200, 404, 200, 500, 200, 302, 200, 200, 200], 3, 9),
        ([204, 200], 3, 4),
    ],
)
def test_as_many_good_answers_in_a_row_are_needed(
    instance: Instance, service: Service, health: list[int], needed: int, questions: int
) -> None:
    service.health = health
    if needed != 3:
        instance.settings["HEALTHY_ANSWERS"] = needed
    instance.settings["HEALTH_SECONDS"] = ""  # as if it were not there
    # A proxy of the instance is not asked.
    done = instance.succeeds(SCRIPT, http_proxy="http://127.0.0.1:9", HTTP_PROXY="x")
    assert service.paths == ["/"] * questions
    assert f"answered 200 {needed} times in a row" in done.stdout
    assert instance.calls == []
    assert list(instance.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("health", "told"),
    [
        ([503], '503, {"status":"loading"}'),
        ([200, 200, 503] * 500, "The last answer of http://127.0.0.1:"),
        (None, ": none, "),
    ],
    ids=["no model", "good now and then", "nobody listens"],
)
def test_a_service_that_is_not_healthy_in_time(
    instance: Instance, service: Service, health: list[int] | None, told: str
) -> None:
    service.health = health or [200]
    if health is None:
        instance.settings["PORT"] = free_port()
    instance.settings["HEALTH_SECONDS"] = 1
    instance.answers("docker logs", "", code=1, error="the registry does not answer\n")
    done = instance.fails(1, ["the registry does not answer", told], SCRIPT)
    assert re.search(r"not healthy after 1 s, asked \d+ times", done.stderr)
    assert set(service.paths) == ({"/"} if health else set())
    assert [str(call) for call in instance.calls] == ["docker logs --tail 40 carprice"]
