import pytest
from delivery import Instance

SCRIPT = "pull_image.sh"


def test_an_image_that_is_there_needs_no_login(instance: Instance) -> None:
    instance.succeeds(SCRIPT)
    assert [str(call) for call in instance.calls] == [
        f"docker image inspect {instance.settings['IMAGE']}"
    ]


def test_it_logs_in_and_pulls_by_digest_and_forgets_the_login(
    instance: Instance, ecr_password: str
) -> None:
    done = instance.succeeds(SCRIPT)
    image = str(instance.settings["IMAGE"])
    assert sorted(instance.order[1:3]) == ["aws ecr get-login-password", "docker login"]
    assert instance.order[0::3] == [f"docker image inspect {image}", f"docker pull {image}"]
    (asked,), (logged_in,) = instance.called("aws"), instance.called("docker login")
    assert "--region xx-test-1" in str(asked)
    assert logged_in.words == [
        "login", "--username", "AWS", "--password-stdin", image.partition("/")[0],
    ]  # fmt: skip
    assert logged_in.input == f"{ecr_password}\n"
    (pulled,) = instance.called("docker pull")
    assert logged_in.login_folder
    assert pulled.login_folder
    assert logged_in.environment["DOCKER_CONFIG"] == pulled.environment["DOCKER_CONFIG"]
    assert list(instance.temporary.iterdir()) == []
    instance.never_shows(ecr_password, done)


@pytest.mark.usefixtures("ecr_password")
@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("aws ecr", ["no login to registry.example.org", "ecr:GetAuthorizationToken"]),
        ("docker login", ["no login to registry.example.org", "ecr:GetAuthorizationToken"]),
        ("docker pull", ["registry.example.org/carprice@sha256:", "cannot be pulled"]),
    ],
)
def test_a_step_that_fails_ends_it(instance: Instance, failing: str, told: list[str]) -> None:
    instance.answers(failing, code=255, error="AccessDenied\n")
    instance.fails(1, ["AccessDenied", *told], SCRIPT)
    assert len(instance.called("docker pull")) == (failing == "docker pull")
    assert list(instance.temporary.iterdir()) == []
