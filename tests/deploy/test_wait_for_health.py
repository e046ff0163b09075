import re
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Instance, Service

SCRIPT = "wait_for_health.sh"


@pytest.fixture
def instance(instance: "Instance", service: "Service") -> "Instance":
    """An instance whose second is a fiftieth of one where it pauses."""
    instance.settings["PORT"] = service.port
    instance.lacks("sleep")
    sleep = instance.programs / "sleep"
    sleep.write_text(f"#!{shutil.which('bash')}\nexec {shutil.which('sleep')} 0.02\n")
    sleep.chmod(0o755)
    return instance


@pytest.mark.parametrize(
    ("health", "questions"),
    [
        ([200], 3),
        ([503, 200], 4),
        ([200, 200, 503, 200, 200, 200], 6),
        ([200, 404, 200, 500, 200, 302, 200, 200, 200], 9),
        ([204, 200], 4),
    ],
)
def test_as_many_good_answers_in_a_row_are_needed(
    instance: "Instance", service: "Service", health: list[int], questions: int
) -> None:
    service.health = health
    done = instance.succeeds(SCRIPT)
    assert service.paths == ["/"] * questions
    assert "answered 200 3 times in a row" in done.stdout
    assert instance.calls == []


def test_how_many_can_be_set(instance: "Instance", service: "Service") -> None:
    instance.settings["HEALTHY_ANSWERS"] = 5
    instance.succeeds(SCRIPT)
    assert service.paths == ["/"] * 5


def test_a_service_that_lives_and_has_no_model_is_not_healthy(
    instance: "Instance", service: "Service"
) -> None:
    service.health = [503]
    instance.settings["HEALTH_SECONDS"] = 1
    instance.answers("docker logs", "the registry does not answer\n")
    done = instance.fails(
        1,
        [
            "the registry does not answer",
            "The last answer of http://127.0.0.1:",
            '503, {"status":"loading"}',
        ],
        SCRIPT,
    )
    assert re.search(r"not healthy after 1 s, asked \d+ times", done.stderr)
    assert set(service.paths) == {"/"}
    assert [str(call) for call in instance.calls] == ["docker logs --tail 40 carprice"]


def test_an_answer_that_is_good_now_and_then_is_not_healthy(
    instance: "Instance", service: "Service"
) -> None:
    service.health = [200, 200, 503] * 500
    instance.settings["HEALTH_SECONDS"] = 1
    assert instance.run(SCRIPT).returncode == 1


def test_nobody_listens(instance: "Instance") -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        instance.settings["PORT"] = taken.getsockname()[1]
    instance.settings["HEALTH_SECONDS"] = 1
    instance.answers("docker logs", code=1, error="No such container: carprice\n")
    instance.fails(1, ["No such container", ": none, "], SCRIPT)


@pytest.mark.parametrize("seconds", ["111", "120", "0", "1.5", "", "two"])
def test_a_deadline_must_be_below_the_hooks_limit(
    instance: "Instance", service: "Service", seconds: str
) -> None:
    instance.settings["HEALTH_SECONDS"] = seconds
    done = instance.run(SCRIPT)
    if seconds == "":
        assert done.returncode == 0  # as if it were not there
        return
    assert done.returncode == 2
    assert re.search(r"HEALTH_SECONDS must be .*1 to 100 \(found", done.stderr)
    assert seconds in done.stderr
    assert service.asked == []


def test_a_proxy_of_the_instance_is_not_asked(instance: "Instance") -> None:
    instance.succeeds(SCRIPT, http_proxy="http://127.0.0.1:9", HTTP_PROXY="x")


def test_nothing_is_left_behind(instance: "Instance") -> None:
    instance.run(SCRIPT)
    assert list(instance.temporary.iterdir()) == []
