from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Instance

SCRIPT = "pull_image.sh"


def test_an_image_that_is_there_needs_no_login(instance: "Instance") -> None:
    instance.succeeds(SCRIPT)
    assert [str(call) for call in instance.calls] == [
        f"docker image inspect {instance.settings['IMAGE']}"
    ]


def test_it_logs_in_and_pulls_by_digest(instance: "Instance", ecr_password: str) -> None:
    instance.succeeds(SCRIPT)
    image = str(instance.settings["IMAGE"])
    assert sorted(instance.order[1:3]) == ["aws ecr get-login-password", "docker login"]
    assert instance.order[0::3] == [f"docker image inspect {image}", f"docker pull {image}"]
    (asked,) = instance.called("aws")
    assert "--region xx-test-1" in str(asked)
    (logged_in,) = instance.called("docker login")
    assert logged_in.words == [
        "login", "--username", "AWS", "--password-stdin", image.partition("/")[0],
    ]  # fmt: skip
    assert logged_in.input == f"{ecr_password}\n"


def test_the_login_is_forgotten(instance: "Instance", ecr_password: str) -> None:
    instance.run(SCRIPT)
    folders = {
        call.environment["DOCKER_CONFIG"]
        for call in instance.calls
        if "DOCKER_CONFIG" in call.environment
    }
    assert len(folders) == 1
    for call in (*instance.called("docker login"), *instance.called("docker pull")):
        assert call.login_folder
    assert list(instance.temporary.iterdir()) == []
    instance.never_shows(ecr_password)


@pytest.mark.parametrize(
    "image",
    [
        "registry.example.org/carprice",
        "registry.example.org/carprice:latest",
        "registry.example.org/carprice@sha256:abc",
        f"carprice@sha256:{'0' * 64}",
        f"--privileged/carprice@sha256:{'0' * 64}",
    ],
)
def test_only_a_digest_names_an_image(instance: "Instance", image: str) -> None:
    instance.settings["IMAGE"] = image
    instance.fails(
        2, [f"IMAGE must be REGISTRY/REPOSITORY@sha256:DIGEST (found '{image}')"], SCRIPT
    )
    assert instance.calls == []


@pytest.mark.parametrize("failing", ["aws ecr", "docker login"])
@pytest.mark.usefixtures("ecr_password")
def test_no_login(instance: "Instance", failing: str) -> None:
    instance.answers(failing, code=255, error="AccessDenied\n")
    instance.fails(
        1, ["AccessDenied", "no login to registry.example.org", "ecr:GetAuthorizationToken"], SCRIPT
    )
    assert instance.called("docker pull") == []
    assert list(instance.temporary.iterdir()) == []


@pytest.mark.usefixtures("ecr_password")
def test_no_pull(instance: "Instance") -> None:
    instance.answers("docker pull", code=1, error="manifest unknown\n")
    instance.fails(
        1, ["manifest unknown", f"{instance.settings['IMAGE']} cannot be pulled"], SCRIPT
    )
    assert list(instance.temporary.iterdir()) == []
