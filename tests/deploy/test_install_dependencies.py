import re

import pytest
from delivery import Instance

SCRIPT = "install_dependencies.sh"


def test_nothing_to_do(instance: Instance) -> None:
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
            {"dnf install --assumeyes --quiet curl": "curl",
             "dnf install --assumeyes --quiet awscli-2": "aws",
             "dnf install --assumeyes --quiet docker": "docker"},
        ),
        (
            ["apt-get", "snap"],
            {"apt-get update": "", "apt-get install curl": "curl",
             "snap wait system seed.loaded": "", "snap install aws-cli --classic": "aws",
             "apt-get install docker.io": "docker"},
        ),
        (
            ["apt-get"],
            {"apt-get update": "", "apt-get install curl": "curl", "apt-get install awscli": "aws",
             "apt-get install docker.io": "docker"},
        ),
    ],
    ids=["Amazon Linux", "Ubuntu", "Debian"],
)  # fmt: skip
def test_a_new_instance(instance: Instance, managers: list[str], wanted: dict[str, str]) -> None:
    instance.lacks("curl", "aws", "docker")
    instance.stand_in("systemctl", *managers)
    apt = "apt-get --quiet --option DPkg::Lock::Timeout=90"
    for call, made in wanted.items():
        full = call.replace("apt-get update", f"{apt} update")
        full = full.replace("apt-get install", f"{apt} install --yes --no-install-recommends")
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


@pytest.mark.parametrize(
    ("lacking", "there", "failing", "told"),
    [
        ("docker", [], "", ["neither dnf nor apt-get is here to install docker",
                            "use Amazon Linux 2023 or Ubuntu"]),
        ("docker", ["dnf", "systemctl"], "dnf install", ["No such luck"]),
        ("aws", ["dnf"], "", ["aws is not here although its package was installed"]),
        ("", ["systemctl"], "systemctl", ["No such luck"]),
    ],
    ids=["no package manager", "no package", "a package without its program", "docker stays down"],
)  # fmt: skip
def test_what_cannot_be_had_ends_it(
    instance: Instance, lacking: str, there: list[str], failing: str, told: list[str]
) -> None:
    instance.lacks(*lacking.split())
    instance.stand_in(*there)
    instance.answers("docker info", code=1 if failing == "systemctl" else 0)
    if failing:
        instance.answers(failing, code=1, error="No such luck\n")
    instance.fails(1, told, SCRIPT)
    assert len(instance.called("systemctl")) == (failing == "systemctl")
