"""``up``, ``status`` and ``down``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from image_env import service_settings

from infrastructure import fleet, kept, stacks
from infrastructure.account import Account
from infrastructure.problems import BadInputError

GITHUB: Final = "token.actions.githubusercontent.com"
_SERVICE_ENV: Final = Path(__file__).resolve().parents[1] / "service.env"
_NETWORK: Final = ("VpcId", "BalancerSubnets", "InstanceSubnets")
Say = Callable[[str], None]


def up(account: Account, given: dict[str, str], say: Say) -> None:
    """Make what is not there, and bring the rest up to date.

    Parameters
    ----------
    given : values of the templates' parameters; the others stay as they are.

    Raises
    ------
    BadInputError
        If a parameter is unknown or missing, or a network is named in part.
    InfrastructureError
        If AWS refuses, or a deployment is going on.
    """
    stacks.check_names(given)
    fleet.check_at_rest(account)
    outputs: dict[str, str] = {"Name": account.name, "Port": _service_env()["PORT"]}
    for template in stacks.ORDER:
        left_out = _left_out(account, template, given)
        if left_out:
            say(f"{template}: left out, {left_out}")
            continue
        declared = stacks.parameters_of(template)
        wired = {name: value for name, value in outputs.items() if name in declared}
        if template == "access":
            wired |= _provider(account)
        own = {name: value for name, value in given.items() if name in declared}
        say(f"{template}: {stacks.apply(account, template, own, wired)}")
        found = stacks.find(account, template)
        outputs |= found.outputs if found else {}
    for line in fleet.apply(account, outputs):
        say(line)
    for line in (*_for_the_workflows(account, outputs), *_warnings(account, outputs)):
        say(line)
    say(f"This costs money until deploy/aws down: {', '.join(_costs(account))}")


def status(account: Account, say: Say) -> bool:
    """Tell what there is; return whether it is all there, and serves."""
    outputs: dict[str, str] = {}
    good = True
    for template in stacks.ORDER:
        found = stacks.find(account, template)
        say(f"{template}: {found.state if found else 'not there'}")
        good = good and (found is not None or template in ("network", "access"))
        good = good and (
            found is None or found.state.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE"))
        )
        outputs |= found.outputs if found else {}
    there = fleet.find(account)
    if there.present is None or there.deployment_group is None:
        say("Auto Scaling group or deployment group: not there; deploy/aws up makes them")
        return False
    group = there.present
    say(
        f"Auto Scaling group {group['AutoScalingGroupName']}: {len(group['Instances'])} instances, "
        f"{group['MinSize']} to {group['MaxSize']}"
    )
    for other in there.others:
        say(f"Another group, of a deployment: {other['AutoScalingGroupName']}")
    if group["HealthCheckType"] != "ELB" or not fleet.has_policy(account, group):
        say("It has lost its scaling policy or health check: deploy/aws up puts them back")
        good = False
    if deployment := fleet.running_deployment(account):
        say(f"Deployment {deployment} is going on")
    if outputs.keys() >= {"TargetGroupArn", "BucketName"}:
        states = [
            one["TargetHealth"]["State"]
            for one in account.elbv2.describe_target_health(
                TargetGroupArn=outputs["TargetGroupArn"]
            )["TargetHealthDescriptions"]
        ]
        told = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        say(f"Targets: {told or 'none'}")
        good = good and "healthy" in states
        for line in (*_for_the_workflows(account, outputs), *_warnings(account, outputs)):
            say(line)
    say(f"This costs money: {', '.join(_costs(account))}")
    return good


def down(account: Account, confirm: Callable[[str], bool], say: Say) -> bool:
    """Remove everything; data only where ``confirm`` says so. Returns whether nothing is left.

    Raises
    ------
    InfrastructureError
        If AWS refuses, or a deployment is going on.
    """
    fleet.check_at_rest(account)
    storage = stacks.find(account, "storage")
    bucket = storage.outputs.get("BucketName", "") if storage else ""
    data = kept.count(account, bucket) if storage else None
    deletes = data is not None and confirm(
        f"{data.objects} versions of objects in {bucket or 'no bucket'}, {data.images} images, the "
        f"service's log, and the parameters {', '.join(data.parameters) or '(none)'} are deleted "
        "for ever."
    )
    say(f"Auto Scaling and deployment group: {_removed(fleet.remove(account))}")
    for template in reversed(stacks.ORDER[1:]):
        say(f"{template}: {_removed(stacks.remove(account, template))}")
    if storage is not None and not deletes:
        say(f"storage: kept, with its data, and costs money; bucket {bucket}")
        return False
    if bucket:
        kept.delete(account, bucket)
    say(f"storage: {_removed(stacks.remove(account, 'storage'))}")
    return True


def _removed(was_there: bool) -> str:
    return "removed" if was_there else "was not there"


def _left_out(account: Account, template: str, given: dict[str, str]) -> str:
    """Return why a stack is not made, or nothing."""
    if template == "network":
        named = [name for name in _NETWORK if name in given]
        if named and len(named) < len(_NETWORK):
            raise BadInputError(f"name all of {', '.join(_NETWORK)}, or none (found {named})")
        has_own = stacks.find(account, "network") is not None
        service = stacks.find(account, "service")
        if service is not None and "VpcId" in given:
            before = service.parameters.get("VpcId")
            if given["VpcId"] != before:
                raise BadInputError(
                    f"the service is in {before} and cannot move; deploy/aws down first"
                )
        if named or (service is not None and not has_own):
            return "the service is in a network that was there before"
    if template == "access" and stacks.find(account, "access") is None:
        needed = ("GitHubOwner", "GitHubRepository")
        if not any(name in given for name in needed):
            return f"for no workflow deploys; --set {'=…, '.join(needed)}=… makes its roles"
    return ""


def _provider(account: Account) -> dict[str, str]:
    """Return GitHub's identity provider where the account had it before the stack."""
    if stacks.find(account, "access") is not None:
        return {}
    for one in account.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        if one["Arn"].endswith(f"/{GITHUB}"):
            return {"ProviderArn": one["Arn"]}
    return {}


def _service_env() -> dict[str, str]:
    return service_settings(_SERVICE_ENV)


def _for_the_workflows(account: Account, outputs: dict[str, str]) -> Iterator[str]:
    yield f"Address: {outputs['Scheme']}://{outputs['Address']}"
    yield "Variables of GitHub's environment delivery, and for the scripts by hand:"
    variables = {
        "AWS_REGION": account.region,
        "AWS_ROLE_ARN": outputs.get("DeliveryRoleArn"),
        "BUNDLE_BUCKET": f"{outputs['BucketName']}/carprice-bundles",
        "CODEDEPLOY_APPLICATION": account.name,
        "CODEDEPLOY_GROUP": fleet.DEPLOYMENT_GROUP,
        "IMAGE_REPOSITORY": outputs["RepositoryUri"],
        "LOG_GROUP": outputs["LogGroupName"],
    }
    yield from (f"  {name}={value}" for name, value in variables.items() if value)
    yield f"The data's remote: dvc remote add --default storage s3://{outputs['BucketName']}/carprice"
    if "TrainingRoleArn" in outputs:
        yield f"Environment production: AWS_ROLE_ARN={outputs['TrainingRoleArn']}"


def _warnings(account: Account, outputs: dict[str, str]) -> Iterator[str]:
    if outputs["Scheme"] == "http":
        yield "Warning: plain HTTP; --set CertificateArn=<arn> makes it HTTPS"
    named = sorted(
        value.removeprefix("ssm:")
        for key, value in _service_env().items()
        if (key.startswith("SECRET_") or key == "VALIDATION_API_KEY") and value.startswith("ssm:")
    )
    if not named:
        return
    missing = set(account.ssm.get_parameters(Names=named)["InvalidParameters"])
    for name in named:
        if name in missing:
            yield (
                f"Warning: deploy/service.env names the parameter {name}, which is not there: "
                f"aws ssm put-parameter --type SecureString --name {name} --value file:///dev/stdin"
            )
        if not name.startswith(f"/{account.name}/"):
            yield f"Warning: the instances may read /{account.name}/… only, and not {name}"


def _costs(account: Account) -> list[str]:
    there: Any = fleet.find(account)
    groups = [one for one in (there.present, *there.others) if one is not None]
    service = stacks.find(account, "service")
    kind = service.parameters.get("InstanceType", "") if service else ""
    number = sum(one["DesiredCapacity"] for one in groups)
    found = []
    if service is not None:
        found += ["1 load balancer", f"{number} instances {kind} with disk and public address"]
        found += ["4 alarms"]
    if stacks.find(account, "storage") is not None:
        found += ["what bucket, image repository and log group hold"]
    return [*found, "docs/aws.md has the prices"] if found else ["nothing"]
