"""The templates of SageMaker and Lambda: made, changed and removed on moto, and what they ask for.

test_cloudformation.py has cfn-lint and checkov look at them, test_image_sagemaker.py and
test_image_lambda.py run what they name.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import cfnlint.decode.cfn_yaml
import pytest
from aws_account import ACCOUNT, REGION, AwsAccount
from botocore.validate import ParamValidator
from delivery import Service
from rights import PULLS, Policy, actions, arn, for_everything, may, rights_of
from sagemaker.package import main

from carprice.model_folder import PARTS, folder_digest, write_folder

ROOT = Path(__file__).resolve().parents[2]
PATHS = {name: ROOT / "deploy" / name / "template.yaml" for name in ("sagemaker", "lambda")}
TEMPLATES = {name: cfnlint.decode.cfn_yaml.load(path) for name, path in PATHS.items()}
ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/carprice"
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
NO_VALUE = {"Ref": "AWS::NoValue"}
# It knows neither aliases nor function URLs in templates.
NOT_IN_MOTO = {"Alias", "Url", "UrlPermission", "FunctionPermission"}

pytestmark = pytest.mark.slow


def image(number: int) -> str:
    return f"{ECR}@sha256:{number:064x}"


def package(number: int) -> str:
    return f"s3://cars/carprice-models/{number:064x}/model.tar.gz"


def values_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a template, as they are where some are given."""
    declared = TEMPLATES[name]["Parameters"]
    return {key: one["Default"] for key, one in declared.items() if "Default" in one} | dict(given)


def holds(name: str, given: Mapping[str, Any], condition: Any) -> bool:
    """Return whether a condition holds with some parameters."""
    match condition:
        case str() | {"Condition": _}:
            key = condition if isinstance(condition, str) else condition["Condition"]
            return holds(name, given, TEMPLATES[name]["Conditions"][key])
        case {"Fn::Equals": [{"Ref": key}, text]}:
            return str(values_of(name, given)[key]) == str(text)
        case {"Fn::Not": [one]}:
            return not holds(name, given, one)
        case {"Fn::And": ones}:
            return all(holds(name, given, one) for one in ones)
    raise AssertionError(condition)


def broken_rules(name: str, **given: Any) -> set[str]:
    """Return the rules that refuse some parameters."""
    return {
        key
        for key, rule in TEMPLATES[name]["Rules"].items()
        if holds(name, given, rule["RuleCondition"])
        and not all(holds(name, given, one["Assert"]) for one in rule["Assertions"])
    }


def shell(name: str, commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run commands with the functions of a target's README.md, where ``aws`` is a function."""
    guide = PATHS[name].with_name("README.md").read_text(encoding="utf-8")
    functions = "".join(re.findall(r"^\w+\(\) \{.*?^\}\n", guide, re.M | re.S))
    return subprocess.run(
        ["bash", "-c", f"{functions}\n{commands}"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def chosen(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources that there are with some parameters, without Fn::If."""
    template = TEMPLATES[name]

    def choose(found: Any) -> Any:
        match found:
            case {"Fn::If": [condition, one, other]}:
                return choose(one if holds(name, given, condition) else other)
            case dict():
                told = {key: choose(value) for key, value in found.items()}
                return {key: value for key, value in told.items() if value != NO_VALUE}
            case list():
                return [one for one in map(choose, found) if one != NO_VALUE]
        return found

    return {
        key: choose({name: part for name, part in one.items() if name != "Condition"})
        for key, one in template["Resources"].items()
        if "Condition" not in one or holds(name, given, one["Condition"])
    }


def resources_of(name: str, **given: Any) -> dict[str, Any]:
    """Return the properties of a template's resources as CloudFormation would ask for them.

    A reference to a resource is its name, to an attribute ``Name.Attribute``.
    """
    values = values_of(name, given) | {"AWS::Partition": "aws"}
    values |= {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION}

    def resolved(found: Any) -> Any:
        match found:
            case {"Ref": key}:
                return values.get(key, key)
            case {"Fn::GetAtt": [key, attribute]}:
                return f"{key}.{attribute}"
            case {"Fn::Sub": str(text)}:
                names = re.compile(r"\$\{([\w:.]+)\}")
                return names.sub(lambda key: str(values.get(key[1], key[1])), text)
            case dict():
                return {str(key): resolved(value) for key, value in found.items()}
            case list():
                return [*map(resolved, found)]
        return str(found) if isinstance(found, str) else found

    return {key: resolved(one["Properties"]) for key, one in chosen(name, given).items()}


def stack_of(account: AwsAccount, name: str) -> Callable[..., dict[str, str]]:
    """Return what makes or changes a target's stack, and tells its outputs.

    moto looks at conditions only when a stack is made: it gets what they leave.
    """
    formation, template = account.client("cloudformation"), TEMPLATES[name]
    outputs = {
        key: one for key, one in template["Outputs"].items() if key in ("RoleArn", "EndpointName")
    }

    def up(**parameters: Any) -> dict[str, str]:
        made = {key: one for key, one in chosen(name, parameters).items() if key not in NOT_IN_MOTO}
        there = formation.list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])
        call = formation.update_stack if there["StackSummaries"] else formation.create_stack
        call(
            StackName=name,
            TemplateBody=json.dumps({**template, "Resources": made, "Outputs": outputs}),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": str(value)}
                for key, value in values_of(name, parameters).items()
            ],
        )
        (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    return up


SAGEMAKER = {"Image": image(1), "Package": package(1), "BucketName": "cars"}
CHALLENGER = {"ChallengerPackage": package(2), "ChallengerWeight": 0.25}


def test_an_endpoint_is_made_changed_and_removed(account: AwsAccount) -> None:
    up, client = stack_of(account, "sagemaker"), account.client("sagemaker")

    def models() -> dict[str, str]:
        names = (one["ModelName"] for one in client.list_models()["Models"])
        told = (client.describe_model(ModelName=name) for name in names)
        return {
            one["PrimaryContainer"]["ModelDataUrl"]: one["PrimaryContainer"]["Image"]
            for one in told
        }

    def variants() -> dict[str, float]:
        (config,) = client.list_endpoint_configs()["EndpointConfigs"]
        told = client.describe_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
        return {
            one["VariantName"]: one["InitialVariantWeight"] for one in told["ProductionVariants"]
        }

    outputs = up(**SAGEMAKER)
    (endpoint,) = client.list_endpoints()["Endpoints"]
    assert endpoint["EndpointName"] == outputs["EndpointName"]
    assert (models(), variants()) == ({package(1): image(1)}, {"production": 1.0})
    up(**SAGEMAKER | {"Image": image(2)})
    assert models() == {package(1): image(2)}
    up(**SAGEMAKER, **CHALLENGER, Challenger="SPLIT", Traffic="NONE")
    assert models() == {package(1): image(1), package(2): image(1)}
    assert variants() == {"production": 1.0, "challenger": 0.25}
    up(**SAGEMAKER)  # all the way back
    assert (models(), variants()) == ({package(1): image(1)}, {"production": 1.0})
    (logs,) = account.client("logs").describe_log_groups()["logGroups"]
    assert logs["logGroupName"] == "/aws/sagemaker/Endpoints/carprice"
    account.client("cloudformation").delete_stack(StackName="sagemaker")
    assert client.list_endpoints()["Endpoints"] == client.list_models()["Models"] == []
    assert client.list_endpoint_configs()["EndpointConfigs"] == []
    assert account.resources() == {}
    assert account.skipped == {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
    }


def refused(service: str, shape: str, found: Mapping[str, Any]) -> str:
    """Return what AWS's description of a call has against its parameters."""
    model = boto3.client(service, region_name=REGION).meta.service_model.shape_for(shape)
    return str(ParamValidator().validate(found, model).generate_report())


@pytest.mark.parametrize("traffic", ["CANARY", "ALL_AT_ONCE", "ROLLING", "NONE"])
def test_a_change_is_deployed_as_traffic_says(traffic: str) -> None:
    endpoint = resources_of("sagemaker", **SAGEMAKER, Traffic=traffic)["Endpoint"]
    assert refused("sagemaker", "UpdateEndpointInput", endpoint) == ""
    if traffic == "NONE":
        assert "DeploymentConfig" not in endpoint
        return
    deployment = endpoint["DeploymentConfig"]
    alarms = [one["AlarmName"] for one in deployment["AutoRollbackConfiguration"]["Alarms"]]
    assert alarms == ["ErrorAlarm", "SlowAlarm"]
    policies = {"BlueGreenUpdatePolicy", "RollingUpdatePolicy"} & set(deployment)
    if traffic == "ROLLING":
        assert policies == {"RollingUpdatePolicy"}
        return
    assert policies == {"BlueGreenUpdatePolicy"}
    routing = deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == traffic
    canary = {"Type": "INSTANCE_COUNT", "Value": 1}
    assert routing.get("CanarySize") == (canary if traffic == "CANARY" else None)


def test_a_challenger_gets_a_share_or_copies() -> None:
    told = {}
    for use in ("SPLIT", "SHADOW"):
        made = resources_of("sagemaker", **SAGEMAKER, **CHALLENGER, Challenger=use)
        told[use] = config = made["Config"]
        assert refused("sagemaker", "CreateEndpointConfigInput", {
            **config, "EndpointConfigName": "a"}) == ""  # fmt: skip
        model = made["ChallengerModel"]
        named = {"ModelName": "a", "ExecutionRoleArn": arn("iam", "role/a")}
        assert refused("sagemaker", "CreateModelInput", model | named) == ""
        assert model["PrimaryContainer"]["ModelDataUrl"] == package(2)
        assert model["PrimaryContainer"]["Image"] == image(1)
        environment = made["ProductionModel"]["PrimaryContainer"]["Environment"]
        assert model["PrimaryContainer"]["Environment"] == environment
    names = [one["VariantName"] for one in told["SPLIT"]["ProductionVariants"]]
    assert names == ["production", "challenger"]
    assert "ShadowProductionVariants" not in told["SPLIT"]
    (production,) = told["SHADOW"]["ProductionVariants"]
    (shadow,) = told["SHADOW"]["ShadowProductionVariants"]
    assert (production["VariantName"], shadow["VariantName"]) == ("production", "challenger")
    assert shadow["InitialVariantWeight"] / production["InitialVariantWeight"] == 0.25
    alone = resources_of("sagemaker", **SAGEMAKER)
    assert "ChallengerModel" not in alone
    assert "ShadowProductionVariants" not in alone["Config"]
    assert "DataCaptureConfig" not in alone["Config"]
    scaled = alone["Scaling"]["ResourceId"]
    assert scaled == f"endpoint/Endpoint.EndpointName/variant/{production['VariantName']}"


def test_traffic_that_sagemaker_cannot_shift_is_refused_before_anything_is_made() -> None:
    for traffic in ("CANARY", "ALL_AT_ONCE", "ROLLING", "NONE"):
        assert broken_rules("sagemaker", **SAGEMAKER, Traffic=traffic) == set()
        told = broken_rules("sagemaker", **SAGEMAKER, **CHALLENGER, Traffic=traffic)
        assert told == (set() if traffic == "NONE" else {"ChallengerTakesNone"})
    assert broken_rules("sagemaker", **SAGEMAKER, MinInstances=1) == {"CanaryTakesTwo"}


def test_no_instances_at_most_is_no_scaling() -> None:
    scaling = {"Scaling", "ScalingPolicy"}
    assert scaling <= set(resources_of("sagemaker", **SAGEMAKER))
    assert not scaling & set(resources_of("sagemaker", **SAGEMAKER, MaxInstances=0))


def test_a_deployment_that_sagemaker_took_back_is_told() -> None:
    aws = """aws() {
      case $2 in
        deploy) [ -z "$fails" ] ;;
        describe-stacks) echo new ;;
        describe-endpoint) echo "$serves" ;;
      esac
    }
    deploy Image=one"""
    assert shell("sagemaker", aws, serves="new", fails="").returncode == 0
    assert shell("sagemaker", aws, serves="new", fails="yes").returncode == 1
    done = shell("sagemaker", aws, serves="old", fails="")
    told = "rolled back: the endpoint has old, the stack new\n"
    assert (done.returncode, done.stderr) == (1, told)


def checked(policy: Policy, trust: Policy, service: str) -> None:
    plain = [one for one in policy if "Condition" not in one]
    assert for_everything([plain]) <= {"ecr:GetAuthorizationToken"}
    (who,) = trust
    assert who["Principal"] == {"Service": service}
    assert who["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_sagemaker_may_pull_read_packages_and_write_its_log(account: AwsAccount) -> None:
    policy, trust = rights_of(account, stack_of(account, "sagemaker")(**SAGEMAKER)["RoleArn"])
    checked(policy, trust, "sagemaker.amazonaws.com")
    figures, streams = "cloudwatch:PutMetricData", "logs:DescribeLogStreams"
    more = {"ecr:GetAuthorizationToken", "s3:GetObject", figures, streams}
    assert actions(policy) == more | PULLS | LOGS
    namespace = {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}
    assert may(policy, figures, "*", **namespace)
    assert not may(policy, figures, "*")  # the namespace is what AWS can narrow it to
    assert all(may(policy, action, arn("ecr", "repository/carprice")) for action in PULLS)
    assert not may(policy, "ecr:BatchGetImage", arn("ecr", "repository/other"))
    assert may(policy, "s3:GetObject", f"arn:aws:s3:::{package(1).removeprefix('s3://')}")
    for key in ("carprice/files/md5/00/11", "carprice-bundles/a.tgz", "carprice-captured/a"):
        assert not may(policy, "s3:GetObject", f"arn:aws:s3:::cars/{key}")
    stream = "log-group:/aws/sagemaker/Endpoints/carprice:log-stream:production/i-1"
    assert all(may(policy, action, arn("logs", stream)) for action in (*LOGS, streams))


def test_sagemaker_may_write_what_is_captured_where_that_is_asked_for(account: AwsAccount) -> None:
    made = resources_of("sagemaker", **SAGEMAKER, CapturedPercent=10)
    place = made["Config"]["DataCaptureConfig"]["DestinationS3Uri"].removeprefix("s3://")
    policy = made["Role"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert may(policy, "s3:PutObject", f"arn:aws:s3:::{place}/carprice/production/a.jsonl")
    assert not may(policy, "s3:PutObject", "arn:aws:s3:::cars/carprice-models/a")


def test_a_package_is_put_into_the_bucket_once(
    account: AwsAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, s3 = tmp_path / "model", account.client("s3")
    write_folder(folder, {}, lambda made: [(made / name).touch() for name in PARTS] and None)
    s3.create_bucket(Bucket="cars")
    address = f"s3://cars/carprice-models/{folder_digest(folder)}/model.tar.gz"
    pattern = TEMPLATES["sagemaker"]["Parameters"]["Package"]["AllowedPattern"]
    for _ in range(2):
        assert main([str(folder), "--bucket", "cars"]) == 0
        assert capsys.readouterr().out == f"{address}\n"
        assert re.fullmatch(pattern, address)
    (there,) = s3.list_objects_v2(Bucket="cars")["Contents"]
    content = s3.get_object(Bucket="cars", Key=there["Key"])["Body"]
    with tarfile.open(fileobj=content, mode="r|gz") as archive:
        assert {one.name for one in archive} == {path.name for path in folder.iterdir()}
    assert main([str(folder), "--bucket", "nowhere"]) == 1
    assert "s3://nowhere/carprice-models/" in capsys.readouterr().err


def test_what_is_no_model_is_no_package(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "deploy/sagemaker/package.py", tmp_path, "--out", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path} is not a model folder: it has no model.json" in done.stderr


# --- Lambda -----------------------------------------------------------------------------------


def test_a_function_is_made_changed_and_removed(account: AwsAccount) -> None:
    up, client = stack_of(account, "lambda"), account.client("lambda")
    role = up(Image=image(1), ApiKeys=f"shop:{7:064x}")["RoleArn"]
    told = client.get_function(FunctionName="carprice")
    assert told["Code"]["ImageUri"] == image(1)
    about = told["Configuration"]
    assert (about["Role"], about["MemorySize"], about["Timeout"]) == (role, 1769, 30)
    assert about["Environment"]["Variables"] == {"CARPRICE_API_KEYS": f"shop:{7:064x}"}
    versions = client.list_versions_by_function(FunctionName="carprice")["Versions"]
    assert [one["Version"] for one in versions] == ["$LATEST", "1"]
    policy, trust = rights_of(account, role)
    checked(policy, trust, "lambda.amazonaws.com")
    assert actions(policy) == LOGS
    stream = "log-group:/aws/lambda/carprice:log-stream:2026/11/30/production/1"
    assert all(may(policy, action, arn("logs", stream)) for action in LOGS)
    up(Image=image(2))
    assert client.get_function(FunctionName="carprice")["Code"]["ImageUri"] == image(2)
    account.client("cloudformation").delete_stack(StackName="lambda")
    assert client.list_functions()["Functions"] == []
    assert account.resources() == {}
    assert account.skipped == set()


def test_the_alias_says_which_versions_answer() -> None:
    def alias(**given: Any) -> tuple[str, list[dict[str, Any]]]:
        told = resources_of("lambda", Image=image(2), **given)["Alias"]
        weights = told.get("RoutingConfig", {}).get("AdditionalVersionWeights", [])
        return told["FunctionVersion"], weights

    assert alias() == ("Version.Version", [])
    tried = [{"FunctionVersion": "Version.Version", "FunctionWeight": 0.1}]
    assert alias(StableVersion="1") == ("1", tried)
    assert alias(StableVersion="1", CanaryWeight=0) == ("1", [])


def test_each_image_is_a_version_and_those_before_stay() -> None:
    """CloudFormation makes another version where the description is another."""
    kept = ("Memory", "Timeout", "ApiKeysDigest")
    version = TEMPLATES["lambda"]["Resources"]["Version"]
    assert version["UpdateReplacePolicy"] == "Retain"
    told = {
        resources_of("lambda", Image=image(number), **more)["Version"]["Description"]
        for number, more in [(1, {}), (2, {}), *((2, {key: 7}) for key in kept)]
    }
    assert len(told) == 5
    assert max(map(len, told)) < 256


def test_the_url_is_for_everybody_only_where_that_is_asked_for() -> None:
    closed = resources_of("lambda", Image=image(1))
    assert closed["Url"]["AuthType"] == "AWS_IAM"
    assert closed["Url"]["Qualifier"] == closed["Alias"]["Name"]
    assert not {"UrlPermission", "FunctionPermission"} & set(closed)
    for access in ("NONE", "API_KEYS"):
        opened = resources_of("lambda", Image=image(1), Access=access)
        assert opened["Url"]["AuthType"] == "NONE"
        permissions = [opened[key] for key in ("UrlPermission", "FunctionPermission")]
        assert {one["Action"] for one in permissions} == {
            "lambda:InvokeFunctionUrl",
            "lambda:InvokeFunction",
        }
        assert {one["FunctionName"] for one in permissions} == {"Alias"}
        assert "CARPRICE_API_KEYS" not in opened["Function"]["Environment"]["Variables"]
    # Not before the alias has the version with the keys.
    assert TEMPLATES["lambda"]["Resources"]["Url"]["DependsOn"] == "Alias"


def test_the_url_is_not_opened_without_keys_unless_that_is_asked_for() -> None:
    def broken(**given: str) -> set[str]:
        return broken_rules("lambda", **given)

    keys = {"ApiKeys": f"shop:{7:064x}"}
    digest = {"ApiKeysDigest": "0123456789ab"}
    assert broken() == broken(Access="NONE") == broken(**keys, **digest) == set()
    assert broken(Access="API_KEYS", **keys, **digest) == set()
    assert broken(Access="API_KEYS") == {"KeysNeedKeys"}
    assert broken(Access="NONE", **keys, **digest) == {"KeysMakeAVersion"}
    assert broken(Access="API_KEYS", **keys) == {"KeysMakeAVersion"}


def test_other_keys_are_another_version() -> None:
    def digest(*given: str) -> str:
        done = shell("lambda", """aws() { printf '%s\n' "$@"; }; deploy """ + shlex.join(given))
        assert done.returncode == 0, done.stderr
        words = done.stdout.partition("--parameter-overrides\n")[2].splitlines()
        assert tuple(words[: len(given)]) == given
        (told,) = words[len(given) :] or [""]
        return told.removeprefix("ApiKeysDigest=")

    assert digest("Image=one") == ""  # the keys stay, and so does their digest
    told = {digest("ApiKeys=shop:1 desk:2", "Memory=3000"), digest("ApiKeys="), digest("ApiKeys=a")}
    assert len(told) == 3
    longest = TEMPLATES["lambda"]["Parameters"]["ApiKeysDigest"]["MaxLength"]
    assert {len(one) for one in told} == {longest}
    assert digest("ApiKeys=a") in told


def test_no_reserved_concurrency_is_the_accounts() -> None:
    key = "ReservedConcurrentExecutions"
    assert resources_of("lambda", Image=image(1))["Function"][key] == 50
    assert key not in resources_of("lambda", Image=image(1), MaxConcurrency=0)["Function"]


@pytest.mark.parametrize("token", ["", "a-temporary-login"])
def test_a_question_is_signed_with_the_login_and_its_token(service: Service, token: str) -> None:
    login = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a-key", "AWS_REGION": REGION}
    url = f"http://127.0.0.1:{service.port}/"
    done = shell("lambda", f"ask --silent {url}", **login, AWS_SESSION_TOKEN=token)
    assert done.returncode == 0, done.stderr
    headers = service.asked[-1][2]
    signature = headers["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=someone/")
    assert f"/{REGION}/lambda/aws4_request" in signature
    assert headers.get("x-amz-security-token", "") == token
    assert ("x-amz-security-token" in signature) == bool(token)


@pytest.mark.parametrize("scan", [0, 1])
def test_the_functions_image_is_told_once_its_scan_has_passed(tmp_path: Path, scan: int) -> None:
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "scan.sh"
    script.write_text(f'#!/bin/sh\necho "$@" >asked\nexit {scan}\n')
    script.chmod(0o755)
    stand_ins = """aws() { echo password; }
    python3() { echo models/fetched/one; }
    podman() { [ "$1" != push ] || echo sha256:12 >"$3"; }
    cd """
    commands = stand_ins + f"{shlex.quote(str(tmp_path))} && function_image an-image production"
    done = shell("lambda", commands, IMAGE_REPOSITORY=ECR)
    assert (done.returncode, done.stdout) == (scan, "" if scan else f"{ECR}@sha256:12\n")
    assert (tmp_path / "asked").read_text() == f"--image {ECR}@sha256:12\n"
