import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Instance

SCRIPT = "install_dependencies.sh"


def test_nothing_to_do(instance: "Instance") -> None:
    instance.stand_in("dnf", "apt-get", "snap", "systemctl")
    done = instance.succeeds(SCRIPT)
    assert [str(call) for call in instance.calls] == ["docker info"]
    for name in ("curl", "aws", "docker"):
        assert f"{name}: {instance.programs}/{name}" in done.stdout


@pytest.mark.parametrize(
    ("managers", "wanted"),
    [
        (
            ["dnf"],
            [
                "dnf install --assumeyes --quiet curl",
                "dnf install --assumeyes --quiet awscli-2",
                "dnf install --assumeyes --quiet docker",
            ],
        ),
        (
            ["apt-get", "snap"],
            ["apt-get update", "apt-get install curl", "snap wait system seed.loaded",
             "snap install aws-cli --classic", "apt-get install docker.io"],
        ),
        (
            ["apt-get"],
            ["apt-get update", "apt-get install curl", "apt-get install awscli",
             "apt-get install docker.io"],
        ),
    ],
    ids=["Amazon Linux", "Ubuntu", "Debian"],
)  # fmt: skip
def test_a_new_instance(instance: "Instance", managers: list[str], wanted: list[str]) -> None:
    instance.lacks("curl", "aws", "docker")
    instance.stand_in("systemctl", *managers)
    options = "--quiet --option DPkg::Lock::Timeout=90"
    for call in wanted:
        made = call.split()[-1].replace("awscli-2", "awscli").replace("docker.io", "docker")
        made = {"awscli": "aws", "--classic": "aws", "update": ""}.get(made, made)
        install = f"{options} install --yes --no-install-recommends"
        full = call.replace("apt-get install", f"apt-get {install}")
        full = full.replace("apt-get update", f"apt-get {options} update")
        instance.answers(full, makes=made)
    instance.answers("docker info", code=1)

    instance.succeeds(SCRIPT)
    asked = [
        re.sub(r"--quiet --option \S+ |--yes --no-install-recommends ", "", str(call))
        for call in instance.calls
    ]
    assert asked == [*wanted, "docker info", "systemctl enable --now docker"]
    for call in instance.called("apt-get"):
        assert call.environment["DEBIAN_FRONTEND"] == "noninteractive"

    instance.answers("docker info")
    before = len(instance.calls)
    instance.succeeds(SCRIPT)
    assert [str(call) for call in instance.calls[before:]] == ["docker info"]


def test_neither_package_manager(instance: "Instance") -> None:
    instance.lacks("docker")
    instance.fails(
        1,
        ["neither dnf nor apt-get is here to install docker", "use Amazon Linux 2023 or Ubuntu"],
        SCRIPT,
    )


def test_a_package_that_cannot_be_installed(instance: "Instance") -> None:
    instance.lacks("docker")
    instance.stand_in("dnf", "systemctl")
    instance.answers("dnf install", code=1, error="No match for argument: docker\n")
    instance.fails(1, ["No match"], SCRIPT)
    assert instance.called("systemctl") == []


def test_a_package_without_its_program(instance: "Instance") -> None:
    instance.lacks("aws")
    instance.stand_in("dnf")
    instance.fails(1, ["aws is not here although its package was installed"], SCRIPT)


def test_docker_that_does_not_start(instance: "Instance") -> None:
    instance.stand_in("systemctl")
    instance.answers("docker info", code=1)
    instance.answers("systemctl", code=1, error="Job for docker.service failed\n")
    instance.fails(1, ["docker.service failed"], SCRIPT)
