"""deploy/aws on an account of moto: made, deployed to, changed, removed."""

import io
import re
import subprocess
from pathlib import Path

import pytest
from aws_account import ACCOUNT, AwsAccount
from infrastructure import commands, fleet, stacks
from infrastructure.__main__ import main
from infrastructure.account import Account

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ("--set", "GitHubOwner=octo", "--set", "GitHubRepository=cars")
PROVIDER = "https://token.actions.githubusercontent.com"

pytestmark = pytest.mark.slow


@pytest.fixture
def login(account: AwsAccount) -> Account:
    return Account("carprice")


def outputs(login: Account) -> dict[str, str]:
    found: dict[str, str] = {}
    for template in stacks.ORDER:
        stack = stacks.find(login, template)
        found |= stack.outputs if stack else {}
    return found


def guide() -> str:
    return (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")


def costs_of_the_guide() -> list[str]:
    """Return what has a price in the table, without its quantity."""
    section = guide().partition("### What it costs")[2].partition("\n###")[0]
    rows = re.findall(r"^\| ([^*].+?) \| [\d.]+", section, re.MULTILINE)
    assert len(rows) > 8
    return [re.split("[:,]", what)[0] for what in rows]


def test_made_deployed_to_changed_and_removed(
    account: AwsAccount, login: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole life: each deployment replaces the group, and the stacks are updated after it."""
    more = ("--set", "AlarmEmail=a@example.org", "--set", "RegistryPort=5000")
    assert main(["up", *GITHUB, *more]) == 0
    told = capsys.readouterr().out
    there = outputs(login)
    assert f"BUNDLE_BUCKET={there['BucketName']}/carprice-bundles" in told
    assert f"AWS_ROLE_ARN={there['DeliveryRoleArn']}" in told
    assert f"IMAGE_REPOSITORY={there['RepositoryUri']}" in told
    assert "plain HTTP" in told
    assert "/carprice/mlflow-password, which is not there" in told
    assert "without GitHubOwnerId and GitHubRepositoryId" in told
    (costs,) = re.findall(r"This costs money until deploy/aws down: (.*)", told)
    for what in costs_of_the_guide():
        assert what in costs
    groups = ["carprice"]
    for number, most in enumerate(("7", "8"), start=1):
        deployment = account.deploys(f"{number}.tgz")
        assert main(["up"]) == 1  # a group that is being copied is left alone
        assert main(["down", "--delete-data"]) == 1
        assert capsys.readouterr().err.count(f"{deployment} is going on") == 2
        groups.append(account.replaces_the_group(deployment))
        assert main(["up", "--set", f"MaxInstances={most}"]) == 0
        found = fleet.find(login)
        assert found.present is not None
        assert found.others == []
        assert found.present["AutoScalingGroupName"] == groups[-1] != groups[-2]
        assert found.present["MaxSize"] == int(most)
        assert fleet.has_policy(login, found.present)
        named = (found.deployment_group or {})["autoScalingGroups"]
        assert [one["name"] for one in named] == [groups[-1]]
    capsys.readouterr()
    account.gets_an_object_of_two_versions(there["BucketName"])
    account.gets_an_image()
    account.client("ssm").put_parameter(Name="/carprice/key", Value="<v>", Type="SecureString")
    assert main(["down"]) == 0  # nobody is here to say yes
    told = capsys.readouterr().out
    assert "3 versions of objects" in told
    assert "1 images" in told
    assert "/carprice/key" in told
    assert "storage: kept" in told
    assert set(account.resources()) == {"cloudformation", "s3", "ecr", "logs"}
    assert main(["up"]) == 0  # the data serve again
    assert outputs(login)["BucketName"] == there["BucketName"]
    assert main(["down", "--delete-data"]) == 0
    assert account.resources() == {}
    assert account.client("ssm").get_parameters(Names=["/carprice/key"])["Parameters"] == []
    assert main(["down", "--delete-data"]) == 0
    assert "was not there" in capsys.readouterr().out
    # What could not be seen here is told.
    (told,) = re.findall(r"(?s)moto makes no (.*?) and no alarm", guide())
    assert account.skipped == set(re.findall(r"`(\S+?)`", told))


def test_what_is_lost_is_told_and_put_back(
    account: AwsAccount, login: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    login.iam.create_open_id_connect_provider(Url=PROVIDER, ClientIDList=["sts.amazonaws.com"])
    assert main(["up", *GITHUB, "--set", "InstanceType=t3.medium"]) == 0
    access = stacks.find(login, "access")
    assert access is not None  # an account can have only one provider of an address
    assert access.parameters["ProviderArn"].startswith(f"arn:aws:iam::{ACCOUNT}:oidc-provider/")
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert "2 instances, 2 to 6" in told
    assert "2 healthy" in told
    target = outputs(login)["TargetGroupArn"]
    health = login.elbv2.describe_target_health(TargetGroupArn=target)
    targets = [{"Id": one["Target"]["Id"]} for one in health["TargetHealthDescriptions"]]
    login.elbv2.deregister_targets(TargetGroupArn=target, Targets=targets)
    assert main(["status"]) == 1
    assert "Targets: none" in capsys.readouterr().out
    login.autoscaling.delete_policy(AutoScalingGroupName="carprice", PolicyName=fleet.POLICY)
    assert main(["status"]) == 1
    assert "has lost its scaling policy" in capsys.readouterr().out
    login.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="carprice", ForceDelete=True)
    assert main(["status"]) == 1
    told = capsys.readouterr().out
    assert "Auto Scaling group or deployment group: not there" in told
    assert "This costs money: load balancer, its capacity units, instances: 0 t3.medium" in told
    numbers = ("--set", "GitHubOwnerId=1", "--set", "GitHubRepositoryId=2")
    assert main(["up", *numbers]) == 0
    assert "GitHubOwnerId" not in capsys.readouterr().out
    present = fleet.find(login).present
    assert present is not None
    assert fleet.has_policy(login, present)
    unchanged = stacks.find(login, "service")
    assert unchanged is not None
    assert unchanged.parameters["InstanceType"] == "t3.medium"  # what was set once stays


def test_in_a_network_that_was_there_before(
    account: AwsAccount,
    login: Account,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vpc = login.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in login.ec2.describe_subnets()["Subnets"]][:2]
    named = ["--set", f"VpcId={vpc}"]
    assert main(["up", *named]) == 2
    assert "name all of VpcId, BalancerSubnets, InstanceSubnets" in capsys.readouterr().err
    for name in ("BalancerSubnets", "InstanceSubnets"):
        named += ["--set", f"{name}={','.join(subnets)}"]
    for again in (named, []):
        assert main(["up", *again]) == 0
        assert "network: left out" in capsys.readouterr().out
    assert stacks.find(login, "network") is None
    assert stacks.find(login, "access") is None
    present = fleet.find(login).present
    assert present is not None
    assert present["VPCZoneIdentifier"] == ",".join(subnets)
    other = ["--set", "VpcId=vpc-2", "--set", "BalancerSubnets=a", "--set", "InstanceSubnets=b"]
    assert main(["up", *other]) == 2
    assert "cannot move; deploy/aws down first" in capsys.readouterr().err
    questions: list[str] = []

    def asked(answer: bool) -> bool:
        return commands.down(login, lambda what: bool(questions.append(what)) or answer, print)

    assert not asked(False)
    assert asked(True)
    assert account.resources() == {}
    assert len(questions) == 2
    assert all("deleted for ever" in question for question in questions)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "kept"), [("yes\n", False), ("y\n", True), ("\n", True)])
def test_data_go_after_a_typed_yes_only(
    account: AwsAccount, login: Account, monkeypatch: pytest.MonkeyPatch, typed: str, kept: bool
) -> None:
    assert stacks.apply(login, "storage", {}, {}) == "made"
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert main(["down"]) == 0
    assert (stacks.find(login, "storage") is not None) == kept


def test_a_stack_that_was_never_made_whole_is_made_again(
    account: AwsAccount, login: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, removed = stacks.find, []

    def failed_once(login: Account, template: str) -> stacks.Stack | None:
        found = find(login, template)
        if found is None or removed:
            return found
        return stacks.Stack("ROLLBACK_COMPLETE", found.parameters, found.outputs)

    assert stacks.apply(login, "storage", {"LogDays": "90"}, {}) == "made"
    monkeypatch.setattr(stacks, "find", failed_once)
    remove = stacks.remove
    monkeypatch.setattr(stacks, "remove", lambda *words: removed.append(words[1]) or remove(*words))
    assert stacks.apply(login, "storage", {}, {}) == "made"
    assert removed == ["storage"]
    again = find(login, "storage")
    assert again is not None
    assert again.parameters["LogDays"] == "90"


def test_nothing_is_removed_while_another_target_uses_it(
    account: AwsAccount, login: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stacks.apply(login, "storage", {}, {}) == "made"
    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    for target in stacks.OTHERS:
        name = f"carprice-{target}"
        login.cloudformation.create_stack(StackName=name, TemplateBody=template)
        told = f"aws cloudformation delete-stack --stack-name {name}"
        readme = (ROOT / "deploy" / target.removesuffix("-tls") / "README.md").read_text(
            encoding="utf-8"
        )
        assert told in readme
        assert main(["down", "--delete-data"]) == 1
        assert told in capsys.readouterr().err
        assert stacks.find(login, "storage") is not None
        login.cloudformation.delete_stack(StackName=name)
    assert main(["down", "--delete-data"]) == 0
    assert account.resources() == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["up", "--set", "Colour=red"], "there is no parameter Colour; there are AlarmEmail"),
        (["up", "--set", "Name=x"], "there is no parameter Name"),
        (["up", "--set", "GitHubOwner=octo"], "GitHubRepository is missing for access.yaml"),
    ],
)
def test_what_cannot_be_used(
    account: AwsAccount, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_without_a_region_or_a_login(
    no_aws_login: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    assert main(["status"]) == 2
    assert "no login to AWS" in capsys.readouterr().err
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    assert main(["status"]) == 2
    assert "say --region, or export AWS_REGION" in capsys.readouterr().err


def test_the_program_tells_of_itself_and_refuses_what_it_does_not_know(aws: str) -> None:
    program = ROOT / "deploy" / "aws"
    for words, code, told in (
        (["--help"], 0, "only after a typed yes"),
        (["status", "--name", "nothing"], 1, "storage: not there"),
    ):
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stderr
        assert told in done.stdout
    for refused in (["up", "--set", "x"], ["sideways"], []):
        with pytest.raises(SystemExit, match="2"):
            main(refused)
