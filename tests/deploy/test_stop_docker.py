from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Instance

SCRIPT = "stop_docker.sh"


def test_it_stops_and_removes(instance: "Instance") -> None:
    instance.succeeds(SCRIPT)
    assert [str(call) for call in instance.calls] == [
        "docker stop -t 30 carprice",
        "docker rm --force carprice",
    ]


def test_no_container_is_no_failure(instance: "Instance") -> None:
    instance.answers("docker", code=1, error="No such container: carprice\n")
    instance.succeeds(SCRIPT)
    assert len(instance.calls) == 2


@pytest.mark.parametrize("lacking", [("docker",), ("docker", "timeout", "sed")])
def test_no_docker_is_no_failure(instance: "Instance", lacking: tuple[str, ...]) -> None:
    instance.lacks(*lacking)
    instance.succeeds(SCRIPT)


def test_neither_its_bundle_nor_its_arguments_matter(instance: "Instance") -> None:
    instance.settings = {}
    for name in ("common.sh", "options.sh"):
        (instance.bundle / "deploy" / "scripts" / name).unlink()
    instance.succeeds(SCRIPT, "--now")
