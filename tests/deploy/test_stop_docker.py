import pytest
from delivery import Instance

SCRIPT = "stop_docker.sh"


@pytest.mark.parametrize("code", [0, 1])
def test_it_stops_and_removes_and_no_container_is_no_failure(instance: Instance, code: int) -> None:
    instance.answers("docker", code=code, error="No such container: carprice\n")
    instance.succeeds(SCRIPT)
    assert [str(call) for call in instance.calls] == [
        "docker stop -t 30 carprice",
        "docker rm --force carprice",
    ]


def test_neither_docker_nor_its_bundle_nor_its_arguments_matter(instance: Instance) -> None:
    instance.settings = {}
    for name in ("common.sh", "options.sh"):
        (instance.scripts / name).unlink()
    for lacking in ([], ["docker"], ["timeout", "sed"]):
        instance.lacks(*lacking)
        instance.succeeds(SCRIPT, "--now")
