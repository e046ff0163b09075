"""The templates: clean, of one mind with the rest of the delivery, and with no right too many."""

import functools
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cfnlint.decode.cfn_yaml
import pytest
import yaml
from aws_account import REGION, AwsAccount, aws_account
from delivery import Desk, Instance
from image_env import service_settings
from infrastructure import commands, fleet, stacks
from infrastructure.__main__ import main
from infrastructure.account import Account
from rights import PULLS, Policy, actions, arn, for_everything, may, rights_of

from api.environment import DEFAULT_PORT
from api.gateway import HEALTH

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "cloudformation"
TEMPLATES = {path.stem: cfnlint.decode.cfn_yaml.load(path) for path in FOLDER.glob("*.yaml")}
SERVICE = TEMPLATES["service"]["Resources"]
# Those of other targets, too.
EVERY = sorted(
    path
    for path in (ROOT / "deploy").rglob("*.yaml")
    if path.read_text(encoding="utf-8").startswith("AWSTemplateFormatVersion")
)
IDS = {"GitHubOwnerId": "123", "GitHubRepositoryId": "456"}
DIGEST = f"sha256:{7:064d}"

pytestmark = pytest.mark.slow


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_cfn_lint_finds_nothing() -> None:
    """Also none of its hints (I), in two regions that do not offer the same."""
    options = ["--include-checks", "I", "--regions", REGION, "eu-central-1", "--"]
    program = Path(sys.executable).with_name("cfn-lint")
    command = [program, *options, *EVERY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_checkov_finds_nothing_but_the_exceptions_with_a_reason() -> None:
    program = shutil.which("checkov")
    if program is None:
        pytest.skip("checkov is not on the PATH; docs/aws.md tells how to run it")
    options = ["--framework", "cloudformation", "--output", "json", "--quiet", "--skip-download"]
    command = [program, *(f"--file={path}" for path in EVERY), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["failed"] == 0, done.stdout
    assert found["summary"]["parsing_errors"] == 0
    skipped = sum(
        len(one.get("Metadata", {}).get("checkov", {}).get("skip", []))
        for template in map(cfnlint.decode.cfn_yaml.load, EVERY)
        for one in template["Resources"].values()
    )
    assert found["summary"]["skipped"] == skipped  # none that is of no use any more


def test_a_template_can_be_sent_as_it_is_and_every_parameter_comes_from_somewhere() -> None:
    assert set(TEMPLATES) == set(stacks.ORDER)
    asked = {"GitHubOwner", "GitHubRepository"}
    there = {"Name", "Port"} | asked
    for name in stacks.ORDER:
        path = FOLDER / f"{name}.yaml"
        assert path.stat().st_size < 51_200  # or it would have to lie in S3
        declared = TEMPLATES[name]["Parameters"]
        assert set(stacks.parameters_of(name)) == set(declared)
        for parameter, told in declared.items():
            assert "Default" in told or parameter in there, f"{name}: {parameter}"
        there |= set(TEMPLATES[name].get("Outputs", {}))


def test_the_templates_say_what_the_rest_of_the_delivery_says() -> None:
    settings = service_settings(ROOT / "deploy" / "service.env")
    port = TEMPLATES["service"]["Parameters"]["Port"]["Default"]
    assert str(port) == settings["PORT"] == str(DEFAULT_PORT)
    target, guide = SERVICE["TargetGroup"]["Properties"], text_of("docs/aws.md")
    assert target["HealthCheckPath"] == HEALTH[0]
    (delay,) = target["TargetGroupAttributes"]
    assert (
        f"interval {target['HealthCheckIntervalSeconds']} s, timeout "
        f"{target['HealthCheckTimeoutSeconds']} s, {target['HealthyThresholdCount']} healthy, "
        f"{target['UnhealthyThresholdCount']} unhealthy; deregistration delay {delay['Value']} s"
    ) in guide
    attributes = SERVICE["Balancer"]["Properties"]["LoadBalancerAttributes"]
    idle = {one["Key"]: one["Value"] for one in attributes}["idle_timeout.timeout_seconds"]
    assert f"longer than the load balancer's {idle}" in guide
    appspec = yaml.safe_load(text_of("appspec.yml"))
    hooks = [hook for hooks in appspec["hooks"].values() for hook in hooks]
    assert sum(hook["timeout"] for hook in hooks) == fleet.GRACE_SECONDS
    (name,) = {template["Parameters"]["Name"]["Default"] for template in TEMPLATES.values()}
    for key, value in settings.items():
        if key.startswith("SECRET_"):
            assert value.startswith(f"ssm:/{name}/")
    assert f"--repository-name {name} " in text_of("docs/deploy.md")
    assert f"/{fleet.DEPLOYMENT_GROUP}" in (FOLDER / "access.yaml").read_text("utf-8")
    # The tags that release.sh moves until a scan has passed are the only ones that can be moved.
    assert '"$tag-unscanned"' in text_of("deploy/release.sh")
    repository = TEMPLATES["storage"]["Resources"]["Repository"]["Properties"]
    (movable,) = repository["ImageTagMutabilityExclusionFilters"]
    assert movable["ImageTagMutabilityExclusionFilterValue"] == "*-unscanned"


@pytest.mark.parametrize(
    ("service", "balancer", "requests", "percent"),
    [(None, None, None, 0), (1, None, 200, 0.5), (None, 30, None, 100), (None, 10, 10, 50)],
)
def test_the_share_of_errors_is_told_where_no_request_reached_an_instance(
    service: int | None, balancer: int | None, requests: int | None, percent: float
) -> None:
    """CloudWatch's own arithmetic is not here: FILL and IF as its guide tells of them."""
    metrics = {one["Id"]: one for one in SERVICE["ErrorAlarm"]["Properties"]["Metrics"]}
    known: dict[str, Any] = {
        "FILL": lambda value, instead: instead if value is None else value,
        "IF": lambda condition, value, other: value if condition else other,
        "service": service,
        "balancer": balancer,
        "requests": requests,
    }
    for name in ("asked", "percent"):
        known[name] = eval(metrics[name]["Expression"], {}, known)  # noqa: S307
    assert known["percent"] == percent


def test_instances_get_the_agent_without_ruby_where_there_is_one() -> None:
    data = SERVICE["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    hops = {"Fn::If": ["HasPredictionLog", 2, 1]}
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": hops}
    script = re.sub(r"\$\{AWS::\w+\}", "x", data["UserData"]["Fn::Base64"]["Fn::Sub"])
    assert "${" not in script
    checked = subprocess.run(
        ["shellcheck", "-"], input=script, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("offered", ["latestv2", "latest", "none"])
def test_the_agents_installer_is_taken_from_where_it_is(tmp_path: Path, offered: str) -> None:
    """The user data run with stand-ins: a region may not have version 2 yet."""
    data = SERVICE["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    script = re.sub(r"\$\{AWS::\w+\}", "x", data["UserData"]["Fn::Base64"]["Fn::Sub"])
    calls = tmp_path / "calls"
    (tmp_path / "dnf").write_text(f'#!/bin/sh\necho dnf "$@" >>{calls}\n')
    (tmp_path / "wget").write_text(
        f'#!/bin/sh\ncase "$*" in *.x.x/{offered}/install) '
        f"printf '#!/bin/sh\\necho install {offered} $1 >>{calls}\\n' >install;; *) exit 8;; esac\n"
    )
    for name in ("dnf", "wget"):
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    told = calls.read_text()
    assert (done.returncode == 0) == (offered != "none")
    assert (f"install {offered} auto" in told) == (offered != "none")
    assert ("ruby" in told) == (offered != "latestv2")


def test_the_workflows_get_the_variables_that_up_tells(account: AwsAccount) -> None:
    wanted = set(re.findall(r"vars\.(\w+)", text_of(".github/workflows/deploy.yml")))
    outputs = outputs_of_all()
    told = {
        line.strip().partition("=")[0]
        for line in commands._for_the_workflows(Account("carprice"), outputs)
        if line.startswith("  ")
    }
    assert told == wanted - {"MLFLOW_TRACKING_URI"}  # the registry is not of this account


def test_the_load_balancer_and_the_instances_are_what_the_templates_say(
    account: AwsAccount,
) -> None:
    there, balancing = outputs_of_all(), account.client("elbv2")
    (balancer,) = balancing.describe_load_balancers()["LoadBalancers"]
    assert (balancer["DNSName"], "https") == (there["Address"], there["Scheme"])
    listeners = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])
    found = {one["Port"]: one for one in listeners["Listeners"]}
    assert found[80]["DefaultActions"][0]["Type"] == "redirect"
    assert found[443]["DefaultActions"][0]["TargetGroupArn"] == there["TargetGroupArn"]
    (target,) = balancing.describe_target_groups()["TargetGroups"]
    assert (target["Port"], target["HealthCheckPath"]) == (DEFAULT_PORT, HEALTH[0])
    (version,) = account.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=there["LaunchTemplateId"]
    )["LaunchTemplateVersions"]
    launched = version["LaunchTemplateData"]
    assert launched["InstanceType"] == TEMPLATES["service"]["Parameters"]["InstanceType"]["Default"]
    assert launched["MetadataOptions"]["HttpTokens"] == "required"
    assert launched["ImageId"].startswith("ami-")


def test_what_is_kept_is_private_and_cannot_be_moved(account: AwsAccount) -> None:
    there, s3 = outputs_of_all(), account.client("s3")
    (repository,) = account.client("ecr").describe_repositories()["repositories"]
    assert repository["repositoryUri"] == there["RepositoryUri"]
    assert repository["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert s3.get_bucket_encryption(Bucket=there["BucketName"])["ServerSideEncryptionConfiguration"]
    # moto's CloudFormation does not pass these on.
    kept = {name: one["Properties"] for name, one in TEMPLATES["storage"]["Resources"].items()}
    assert set(kept["Bucket"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(kept["Bucket"]["PublicAccessBlockConfiguration"]) == 4
    assert kept["Bucket"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert kept["Repository"]["ImageScanningConfiguration"] == {"ScanOnPush": True}
    (logs,) = account.client("logs").describe_log_groups()["logGroups"]
    assert (logs["logGroupName"], logs["retentionInDays"]) == (there["LogGroupName"], 30)


def test_the_group_is_scaled_and_deployed_to_as_it_should(account: AwsAccount) -> None:
    there, login = outputs_of_all(), Account("carprice")
    found = fleet.find(login)
    assert found.present is not None
    assert found.deployment_group is not None
    group, deploying = found.present, found.deployment_group
    assert group["TargetGroupARNs"] == [there["TargetGroupArn"]]
    assert (group["HealthCheckType"], group["MinSize"], group["MaxSize"]) == ("ELB", 2, 6)
    assert group["LaunchTemplate"]["LaunchTemplateId"] == there["LaunchTemplateId"]
    (policy,) = login.autoscaling.describe_policies(AutoScalingGroupName="carprice")[
        "ScalingPolicies"
    ]
    tracked = policy["TargetTrackingConfiguration"]
    assert tracked["TargetValue"] == float(there["GroupRequestsPerInstance"])
    label = tracked["PredefinedMetricSpecification"]["ResourceLabel"]
    assert re.fullmatch(r"app/\S+/\w+/targetgroup/\S+/\w+", label)
    assert deploying["serviceRoleArn"] == there["CodeDeployRoleArn"]
    assert (
        deploying["loadBalancerInfo"]["targetGroupInfoList"][0]["name"] in there["TargetGroupArn"]
    )
    copies = deploying["blueGreenDeploymentConfiguration"]["greenFleetProvisioningOption"]
    assert copies == {"action": "COPY_AUTO_SCALING_GROUP"}
    # The way back is there until an alarm of so many minutes, and as many of delay, can be on.
    stays = deploying["blueGreenDeploymentConfiguration"][
        "terminateBlueInstancesOnDeploymentSuccess"
    ]["terminationWaitTimeInMinutes"]
    alarms = [one["Properties"] for key, one in SERVICE.items() if key.endswith("Alarm")]
    assert stays > 2 * max(one["EvaluationPeriods"] for one in alarms)
    assert f"{stays} minutes after the traffic moved" in text_of("docs/aws.md")
    waits = int(re.findall(r"ROLLOUT_SECONDS:-(\d+)", text_of("deploy/rollout.sh"))[0])
    assert fleet.GRACE_SECONDS + stays * 60 < waits < 3600
    assert "DEPLOYMENT_STOP_ON_ALARM" in deploying["autoRollbackConfiguration"]["events"]
    names = [one["name"] for one in deploying["alarmConfiguration"]["alarms"]]
    kinds = [re.search(r"-(\w+Alarm)", name) for name in names]
    assert [kind[1] for kind in kinds if kind] == ["ErrorAlarm", "SlowAlarm", "UnhealthyAlarm"]


# --- rights -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account() -> Iterator[AwsAccount]:
    """An account in which all is made; tests only look at it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "test")
        with aws_account(patch) as made:
            owner = ("--set", "GitHubOwner=octo", "--set", "GitHubRepository=cars")
            ids = (word for key, value in IDS.items() for word in ("--set", f"{key}={value}"))
            issued = made.client("acm").request_certificate(DomainName="a.example.org")
            certificate = f"CertificateArn={issued['CertificateArn']}"
            assert main(["up", *owner, *ids, "--set", certificate]) == 0
            outputs_of_all.cache_clear()
            yield made


@functools.cache
def outputs_of_all() -> dict[str, str]:
    found: dict[str, str] = {}
    login = Account("carprice")
    for template in stacks.ORDER:
        stack = stacks.find(login, template)
        found |= stack.outputs if stack else {}
    return found


def role(account: AwsAccount, output: str) -> tuple[Policy, Policy]:
    """Return what the role of an output may do, and who may take it."""
    return rights_of(account, outputs_of_all()[output])


PUSHES = {  # what `podman push` and `podman login` ask ECR for
    *("ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload"),
    *("ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"),
}
WITH_A_DEPLOYMENT = {  # what CreateDeployment needs beside its own right
    *("codedeploy:GetDeploymentConfig", "codedeploy:RegisterApplicationRevision"),
    "codedeploy:GetApplicationRevision",
}


def asked_of_aws(calls: Iterable[Any]) -> set[tuple[str, str]]:
    """Return action and resource of each call of the AWS command line."""
    found = set()
    for call in calls:
        if call.program != "aws":
            continue
        service, command, *words = call.words
        options = dict(itertools.pairwise(words))
        action = "".join(part.capitalize() for part in command.split("-"))
        if service == "s3":
            place = words[-1].removeprefix("s3://")
            found.add(("s3:PutObject", f"arn:aws:s3:::{place}"))
        elif service == "deploy":
            scoped = command in ("create-deployment", "get-deployment")
            group = arn("codedeploy", "deploymentgroup:carprice/production")
            found.add((f"codedeploy:{action}", group if scoped else "*"))
        elif command == "get-login-password":
            found.add(("ecr:GetAuthorizationToken", "*"))
        elif service == "ecr":
            repository = f"repository/{options['--repository-name']}"
            found.add((f"ecr:{action}", arn("ecr", repository)))
        else:
            assert service == "ssm"
            found.add((f"ssm:{action}", arn("ssm", f"parameter{options['--name']}")))
    return found


def test_the_delivery_may_do_what_its_scripts_do_and_no_more(
    account: AwsAccount, desk: Desk
) -> None:
    outputs = outputs_of_all()
    desk.environment |= {
        "AWS_REGION": REGION,
        "IMAGE_REPOSITORY": outputs["RepositoryUri"],
        "BUNDLE_BUCKET": f"{outputs['BucketName']}/carprice-bundles",
        "CODEDEPLOY_APPLICATION": "carprice",
        "CODEDEPLOY_GROUP": fleet.DEPLOYMENT_GROUP,
        "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
        "POLL_SECONDS": "0",
    }
    desk.answers("aws ecr describe-images", code=254, error="ImageNotFoundException")
    desk.answers("aws ecr describe-image-scan-findings", "COMPLETE\n")
    desk.answers("podman push", writes={"--digestfile": DIGEST})
    desk.answers("podman image inspect", f"{DIGEST}\n")
    desk.run("release.sh")
    named = f"{outputs['RepositoryUri']}@{DIGEST}"
    bundle = desk.succeeds("bundle.sh", "--image", named, "--model-version", "7").stdout.strip()
    desk.answers("aws deploy create-deployment", "d-1\n")
    desk.answers("aws deploy get-deployment", "Failed\n")
    desk.answers("aws deploy list-deployment-targets", "i-1\n")
    desk.fails(1, [], "rollout.sh", bundle)
    desk.answers("aws deploy get-deployment", "InProgress\n")
    desk.fails(1, [], "rollout.sh", bundle, ROLLOUT_SECONDS="0")
    asked = asked_of_aws(desk.calls)
    policy, _ = role(account, "DeliveryRoleArn")
    assert len(asked) >= 9
    for action, resource in asked:
        assert may(policy, action, resource), (action, resource)
    assert actions(policy) == {action for action, _ in asked} | PUSHES | WITH_A_DEPLOYMENT
    for action in PUSHES:
        assert may(policy, action, arn("ecr", "repository/carprice"))
        assert not may(policy, action, arn("ecr", "repository/other"))
    assert not may(policy, "s3:PutObject", f"arn:aws:s3:::{outputs['BucketName']}/carprice/a")
    other = arn("codedeploy", "deploymentgroup:carprice/other")
    assert not may(policy, "codedeploy:CreateDeployment", other)


def test_instances_may_do_what_the_hooks_do_and_no_more(
    account: AwsAccount, instance: Instance
) -> None:
    outputs = outputs_of_all()
    instance.settings |= {"AWS_REGION": REGION, "LOG_GROUP": outputs["LogGroupName"]}
    for key, value in service_settings(ROOT / "deploy" / "service.env").items():
        if key.startswith("SECRET_"):
            instance.reads(key.removeprefix("SECRET_"), value)
    instance.answers("docker image inspect", code=1)
    instance.answers("aws", "<secret>\n")
    instance.succeeds("start_docker.sh")
    asked = asked_of_aws(instance.calls)
    assert {action for action, _ in asked} == {"ecr:GetAuthorizationToken", "ssm:GetParameter"}
    policy, _ = role(account, "InstanceRoleArn")
    for action, resource in asked:
        assert may(policy, action, resource), (action, resource)
    (run,) = instance.called("docker run")
    assert f"awslogs-group={outputs['LogGroupName']}" in run.words
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    stream = arn("logs", f"log-group:{outputs['LogGroupName']}:log-stream:abc")
    assert all(may(policy, action, stream) for action in logs)
    bucket = f"arn:aws:s3:::{outputs['BucketName']}"
    assert may(policy, "s3:GetObject", f"{bucket}/carprice-bundles/a.tgz")
    assert may(policy, "s3:GetObject", f"arn:aws:s3:::aws-codedeploy-{REGION}/latestv2/install")
    assert not may(policy, "s3:GetObject", f"{bucket}/carprice/listings")
    assert not may(policy, "ssm:GetParameter", arn("ssm", "parameter/other/key"))
    assert actions(policy) == {action for action, _ in asked} | PULLS | logs | {"s3:GetObject"}


def with_a_log(found: Any) -> Any:
    """Resolve a part of a template as where all of its conditions hold."""
    values = {"AWS::Partition": "aws", "BucketName": "cars", "PredictionLogPrefix": "log/a"}
    match found:
        case {"Fn::If": [_, there, _]}:
            return with_a_log(there)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([\w:]+)\}", lambda name: values.get(name[1], name[1]), text)
        case {"Ref": name}:
            return values.get(name, name)
        case dict():
            return {key: with_a_log(value) for key, value in found.items()}
        case list():
            return [with_a_log(one) for one in found]
    return found


def test_a_prediction_log_is_written_by_the_instances_and_read_by_the_training() -> None:
    """And the container reaches the instance's login, one hop further, to send it."""
    roles = (SERVICE["InstanceRole"], TEMPLATES["access"]["Resources"]["TrainingRole"])
    instances, training = (
        with_a_log(one["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]) for one in roles
    )
    data = with_a_log(SERVICE["LaunchTemplate"]["Properties"]["LaunchTemplateData"])
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    file = "arn:aws:s3:::cars/log/a/predictions-1.parquet"
    adds = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject")
    for action in (*adds, "s3:GetObject"):
        assert may(instances, action, file)
        assert not may(instances, action, "arn:aws:s3:::cars/carprice/a")
        assert may(training, action, file) == (action == "s3:GetObject")
        published = "arn:aws:s3:::cars/log/a/monitoring.json"
        assert may(training, action, published) == (action in ("s3:GetObject", "s3:PutObject"))
    for policy in (instances, training):
        for prefix, is_allowed in {"log/a/": True, "log/b/": False, "": False}.items():
            asked = may(policy, "s3:ListBucket", "arn:aws:s3:::cars", **{"s3:prefix": prefix})
            assert asked == is_allowed
    for template in ("service", "access"):
        declared = TEMPLATES[template]["Parameters"]["PredictionLogPrefix"]
        assert declared["Default"] == ""  # nobody has any of it


def test_the_database_of_outcomes_is_reached_where_its_port_is_told() -> None:
    out = SERVICE["ToOutcomes"]
    assert out["Condition"] == "HasOutcomesPort"
    ports = {out["Properties"][key]["Ref"] for key in ("FromPort", "ToPort")}
    assert ports == {"OutcomesPort"}
    assert TEMPLATES["service"]["Parameters"]["OutcomesPort"]["Default"] == 443


def test_the_training_reads_and_adds_data_and_nothing_else(account: AwsAccount) -> None:
    bucket = f"arn:aws:s3:::{outputs_of_all()['BucketName']}"
    policy, _ = role(account, "TrainingRoleArn")
    (data,) = re.findall(r"^ *url = s3://<your-bucket>/(.+)$", text_of(".dvc/config"), re.M)
    for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"):
        assert may(policy, action, f"{bucket}/{data}/files/md5/00/11")
        assert not may(policy, action, f"{bucket}/{data}-bundles/a.tgz")
    listing = {"s3:prefix": f"{data}/files/"}
    assert may(policy, "s3:ListBucket", bucket, **listing)
    assert not may(policy, "s3:ListBucket", bucket, **{"s3:prefix": f"{data}-bundles/"})
    assert not may(policy, "s3:ListBucket", bucket)
    assert len(actions(policy)) == 4


def test_codedeploy_starts_instances_of_the_launch_template_only(account: AwsAccount) -> None:
    policy, trust = role(account, "CodeDeployRoleArn")
    outputs = outputs_of_all()
    template = arn("ec2", f"launch-template/{outputs['LaunchTemplateId']}")
    own = {"ec2:LaunchTemplate": template}
    for resource in (arn("ec2", "instance/*"), f"arn:aws:ec2:{REGION}::image/ami-1"):
        assert may(policy, "ec2:RunInstances", resource, **own)
        assert not may(policy, "ec2:RunInstances", resource)
    assert may(policy, "iam:PassRole", outputs["InstanceRoleArn"],
               **{"iam:PassedToService": "ec2.amazonaws.com"})  # fmt: skip
    assert not may(policy, "iam:PassRole", outputs["CodeDeployRoleArn"],
                   **{"iam:PassedToService": "ec2.amazonaws.com"})  # fmt: skip
    tagging = {"ec2:CreateAction": "RunInstances"}
    assert may(policy, "ec2:CreateTags", arn("ec2", "instance/i-1"), **tagging)
    assert not may(policy, "ec2:CreateTags", arn("ec2", "instance/i-1"))
    assert actions(policy) == {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"}
    (who,) = trust
    assert who["Principal"] == {"Service": "codedeploy.amazonaws.com"}


@pytest.mark.parametrize(
    ("output", "environment"),
    [("TrainingRoleArn", "production"), ("DeliveryRoleArn", "delivery")],
)
def test_a_role_is_for_one_environment_of_one_repository(
    account: AwsAccount, output: str, environment: str
) -> None:
    """Older repositories send names alone, newer ones the numbers too, that no other ever gets."""
    _, ((trust),) = role(account, output)
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": [
                f"repo:octo/cars:environment:{environment}",
                f"repo:octo@123/cars@456:environment:{environment}",
            ],
        }
    }
    used = {"production": ("ci", "retrain"), "delivery": ("deploy", "rollback")}[environment]
    for workflow in used:
        assert f"environment: {environment}" in text_of(f".github/workflows/{workflow}.yml")


def test_no_right_is_for_everything_where_aws_can_narrow_it(account: AwsAccount) -> None:
    outputs = ("InstanceRoleArn", "CodeDeployRoleArn", "TrainingRoleArn", "DeliveryRoleArn")
    wide = for_everything(role(account, output)[0] for output in outputs)
    assert "ecr:GetAuthorizationToken" in wide
