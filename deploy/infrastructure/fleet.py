"""The Auto Scaling group and CodeDeploy's deployment group, which no stack may own.

A blue/green deployment with COPY_AUTO_SCALING_GROUP makes a new group, names it in the deployment
group, and deletes the one before. So the deployment group tells which group is the present one.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from infrastructure.account import Account, wait_until
from infrastructure.problems import InfrastructureError

DEPLOYMENT_GROUP: Final = "production"
POLICY: Final = "requests-per-instance"
TAG: Final = "carprice-fleet"
GRACE_SECONDS: Final = 1800
"""How long a new instance may be unhealthy: as long as all hooks of appspec.yml may take."""
BLUE_MINUTES: Final = 15
"""How long the instances before stay, for the way back: the alarms need up to six to be on."""
_RUNNING: Final = ["Created", "Queued", "InProgress", "Baking", "Ready"]


@dataclass(frozen=True)
class Fleet:
    """What there is of a fleet.

    Attributes
    ----------
    present : the Auto Scaling group that serves, as AWS describes it, or None.
    others : groups of a deployment that is going on, or was left behind.
    deployment_group : as AWS describes it, or None.
    """

    present: dict[str, Any] | None = None
    others: list[dict[str, Any]] = field(default_factory=list)
    deployment_group: dict[str, Any] | None = None


def find(account: Account) -> Fleet:
    """Return the fleet, whichever groups CodeDeploy has made meanwhile."""
    deployment_group = _deployment_group(account)
    names = [one["name"] for one in (deployment_group or {}).get("autoScalingGroups", [])]
    tagged = list(
        account.pages(
            "autoscaling",
            "describe_auto_scaling_groups",
            "AutoScalingGroups",
            Filters=[{"Name": f"tag:{TAG}", "Values": [account.name]}],
        )
    )
    known = {one["AutoScalingGroupName"]: one for one in tagged}
    if names:  # the copy of a group has its tags, but what is named is named
        asked = account.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)
        known |= {one["AutoScalingGroupName"]: one for one in asked["AutoScalingGroups"]}
    usable = [one for one in known.values() if one.get("Status") is None]  # else: being deleted
    named = [one for one in usable if one["AutoScalingGroupName"] in names]
    newest = sorted(usable, key=lambda one: one["CreatedTime"], reverse=True)
    present = next(iter(named or newest), None)
    others = [one for one in known.values() if one is not present]
    return Fleet(present, others, deployment_group)


def has_policy(account: Account, group: dict[str, Any]) -> bool:
    """Return whether a group is scaled by the number of requests."""
    found = account.autoscaling.describe_policies(
        AutoScalingGroupName=group["AutoScalingGroupName"], PolicyTypes=["TargetTrackingScaling"]
    )
    return bool(found["ScalingPolicies"])


def running_deployment(account: Account) -> str | None:
    """Return the deployment that is going on, or None."""
    if _deployment_group(account) is None:
        return None
    found = account.codedeploy.list_deployments(
        applicationName=account.name,
        deploymentGroupName=DEPLOYMENT_GROUP,
        includeOnlyStatuses=_RUNNING,
    )["deployments"]
    return found[0] if found else None


def check_at_rest(account: Account) -> None:
    """Refuse to go on while CodeDeploy copies and replaces groups.

    Raises
    ------
    InfrastructureError
        If a deployment is going on.
    """
    if deployment := running_deployment(account):
        raise InfrastructureError(
            f"deployment {deployment} is going on; wait for its end, or stop it: "
            f"aws deploy stop-deployment --deployment-id {deployment}"
        )


def apply(account: Account, outputs: dict[str, str]) -> list[str]:
    """Make the group and the deployment group, or bring them up to date; return what was done.

    Parameters
    ----------
    outputs : those of the stack "service".
    """
    fleet = find(account)
    shape = {
        "MinSize": int(outputs["GroupMinimum"]),
        "MaxSize": int(outputs["GroupMaximum"]),
        "LaunchTemplate": {
            "LaunchTemplateId": outputs["LaunchTemplateId"],
            "Version": "$Latest",
        },
        "VPCZoneIdentifier": outputs["GroupSubnets"],
        "HealthCheckType": "ELB",
        "HealthCheckGracePeriod": GRACE_SECONDS,
    }
    done = []
    if fleet.present is None:
        name = account.name
        account.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            TargetGroupARNs=[outputs["TargetGroupArn"]],
            Tags=_tags(account, name),
            **shape,
        )
        done.append(f"Auto Scaling group {name}: made")
    else:
        name = fleet.present["AutoScalingGroupName"]
        account.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **shape)
        account.autoscaling.create_or_update_tags(Tags=_tags(account, name))
        done.append(f"Auto Scaling group {name}: up to date")
    account.autoscaling.put_scaling_policy(
        AutoScalingGroupName=name,
        PolicyName=POLICY,
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ALBRequestCountPerTarget",
                "ResourceLabel": f"{outputs['BalancerFullName']}/{outputs['TargetGroupFullName']}",
            },
            "TargetValue": float(outputs["GroupRequestsPerInstance"]),
        },
    )
    settings = deployment_group_settings(outputs)
    if fleet.deployment_group is None:
        _make_application(account)
        account.codedeploy.create_deployment_group(
            applicationName=account.name,
            deploymentGroupName=DEPLOYMENT_GROUP,
            autoScalingGroups=[name],
            **settings,
        )
        done.append(f"Deployment group {account.name}/{DEPLOYMENT_GROUP}: made")
    else:
        named = [one["name"] for one in fleet.deployment_group.get("autoScalingGroups", [])]
        account.codedeploy.update_deployment_group(
            applicationName=account.name,
            currentDeploymentGroupName=DEPLOYMENT_GROUP,
            **({} if name in named else {"autoScalingGroups": [name]}),
            **settings,
        )
        done.append(f"Deployment group {account.name}/{DEPLOYMENT_GROUP}: up to date")
    return done


def deployment_group_settings(outputs: dict[str, str]) -> dict[str, Any]:
    """Return all that a deployment group is told but its name and its Auto Scaling group."""
    alarms = [name for name in outputs["RollbackAlarms"].split(",") if name]
    return {
        "serviceRoleArn": outputs["CodeDeployRoleArn"],
        "deploymentConfigName": "CodeDeployDefault.AllAtOnce",
        "deploymentStyle": {
            "deploymentType": "BLUE_GREEN",
            "deploymentOption": "WITH_TRAFFIC_CONTROL",
        },
        "loadBalancerInfo": {"targetGroupInfoList": [{"name": outputs["TargetGroupName"]}]},
        "blueGreenDeploymentConfiguration": {
            "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"},
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "terminateBlueInstancesOnDeploymentSuccess": {
                "action": "TERMINATE",
                "terminationWaitTimeInMinutes": BLUE_MINUTES,
            },
        },
        "alarmConfiguration": {"enabled": True, "alarms": [{"name": name} for name in alarms]},
        "autoRollbackConfiguration": {
            "enabled": True,
            "events": [
                "DEPLOYMENT_FAILURE",
                "DEPLOYMENT_STOP_ON_ALARM",
                "DEPLOYMENT_STOP_ON_REQUEST",
            ],
        },
    }


def remove(account: Account) -> bool:
    """Delete the application, its deployment group and every group; return whether any was there.

    Raises
    ------
    InfrastructureError
        If instances do not end.
    """
    fleet = find(account)
    was_there = fleet.deployment_group is not None
    if fleet.deployment_group is not None:
        account.codedeploy.delete_deployment_group(
            applicationName=account.name, deploymentGroupName=DEPLOYMENT_GROUP
        )
    if _has_application(account):
        account.codedeploy.delete_application(applicationName=account.name)
        was_there = True
    for group in [fleet.present, *fleet.others]:
        if group is not None:
            was_there = True
            if group.get("Status") is None:
                account.autoscaling.delete_auto_scaling_group(
                    AutoScalingGroupName=group["AutoScalingGroupName"], ForceDelete=True
                )
    # Until their instances are gone, the security group cannot be deleted.
    wait_until(lambda: _is_gone(account), "the end of the instances", 900)
    return was_there


def _is_gone(account: Account) -> bool:
    fleet = find(account)
    return fleet.present is None and not fleet.others


def _deployment_group(account: Account) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = account.codedeploy.get_deployment_group(
            applicationName=account.name, deploymentGroupName=DEPLOYMENT_GROUP
        )["deploymentGroupInfo"]
    except ClientError as error:
        if error.response["Error"]["Code"] in (
            "ApplicationDoesNotExistException",
            "DeploymentGroupDoesNotExistException",
        ):
            return None
        raise
    return found


def _has_application(account: Account) -> bool:
    try:
        account.codedeploy.get_application(applicationName=account.name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ApplicationDoesNotExistException":
            return False
        raise
    return True


def _make_application(account: Account) -> None:
    if not _has_application(account):
        account.codedeploy.create_application(
            applicationName=account.name, computePlatform="Server"
        )


def _tags(account: Account, group: str) -> list[dict[str, Any]]:
    return [
        {
            "Key": TAG,
            "Value": account.name,
            "ResourceId": group,
            "ResourceType": "auto-scaling-group",
            "PropagateAtLaunch": True,
        }
    ]
