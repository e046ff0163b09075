"""deploy/aws on an account of moto: made, deployed to, changed, removed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_account import AwsAccount, aws_account
from infrastructure import fleet, stacks
from infrastructure.__main__ import main
from infrastructure.account import Account

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ("--set", "GitHubOwner=octo", "--set", "GitHubRepository=cars")


@pytest.fixture
def account(no_aws_login: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsAccount]:
    with aws_account(monkeypatch) as made:
        yield made


def outputs() -> dict[str, str]:
    found: dict[str, str] = {}
    for template in stacks.ORDER:
        stack = stacks.find(Account("carprice"), template)
        found |= stack.outputs if stack else {}
    return found


def test_made_deployed_to_changed_and_removed(
    account: AwsAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole life: each deployment replaces the group, and the stacks are updated after it."""
    assert main(["up", *GITHUB]) == 0
    told = capsys.readouterr().out
    there = outputs()
    assert f"BUNDLE_BUCKET={there['BucketName']}/carprice-bundles" in told
    assert f"AWS_ROLE_ARN={there['DeliveryRoleArn']}" in told
    assert f"IMAGE_REPOSITORY={there['RepositoryUri']}" in told
    assert "plain HTTP" in told
    assert "/carprice/mlflow-password, which is not there" in told
    assert "costs money" in told
    present = fleet.find(Account("carprice")).present
    assert present is not None
    assert present["AutoScalingGroupName"] == "carprice"
    groups = ["carprice"]
    for number, most in enumerate(("7", "8"), start=1):
        deployment = account.deploys(f"{number}.tgz")
        assert main(["up"]) == 1  # a group that is being copied is left alone
        assert f"{deployment} is going on" in capsys.readouterr().err
        groups.append(account.replaces_the_group(deployment))
        assert main(["up", "--set", f"MaxInstances={most}"]) == 0
        found = fleet.find(Account("carprice"))
        assert found.present is not None
        assert found.others == []
        assert found.present["AutoScalingGroupName"] == groups[-1] != groups[-2]
        assert found.present["MaxSize"] == int(most)
        assert fleet.has_policy(Account("carprice"), found.present)
        named = (found.deployment_group or {})["autoScalingGroups"]
        assert [one["name"] for one in named] == [groups[-1]]
    capsys.readouterr()
    account.gets_an_object_of_two_versions(there["BucketName"])
    account.client("ssm").put_parameter(Name="/carprice/key", Value="<v>", Type="SecureString")
    account.gets_an_image()
    assert main(["down"]) == 0  # nobody is here to say yes
    told = capsys.readouterr().out
    assert "3 versions of objects" in told
    assert "1 images" in told
    assert "/carprice/key" in told
    assert "storage: kept" in told
    assert set(account.resources()) == {"cloudformation", "s3", "ecr", "logs"}
    assert main(["up"]) == 0  # the data serve again
    assert outputs()["BucketName"] == there["BucketName"]
    assert main(["down", "--delete-data"]) == 0
    assert account.resources() == {}
    assert account.client("ssm").get_parameters(Names=["/carprice/key"])["Parameters"] == []
    assert main(["down", "--delete-data"]) == 0
    assert "was not there" in capsys.readouterr().out
