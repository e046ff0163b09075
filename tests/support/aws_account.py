"""An AWS account of moto, in this process, with what moto lacks of CodeDeploy."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation import parsing
from moto.codedeploy import responses as codedeploy
from moto.codedeploy.models import codedeploy_backends
from moto.codedeploy.responses import CodeDeployResponse
from moto.core.common_models import CloudFormationModel
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.route_tables import RouteTable
from moto.ecr.models import ecr_backends
from moto.ecs.models import Cluster, TaskDefinition, ecs_backends
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup, elbv2_backends

REGION = "us-east-1"
ACCOUNT = "123456789012"
_LACKING = re.compile(r"Tried to parse (\S+) but it's not supported by moto")


class _Alarm(CloudFormationModel):
    """An alarm of a template, which moto does not make: its name, and nothing else."""

    __module__ = "tests.aws_account"  # moto looks for a service in it

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        return "AlarmName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    @classmethod
    def create_from_cloudformation_json(cls, resource_name: str, *_: Any, **__: Any) -> "_Alarm":
        return cls(resource_name)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Any, *_: Any, **__: Any) -> Any:
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(cls, *_: Any, **__: Any) -> None:
        """Forget it."""

    def delete(self, *_: Any) -> None:
        """Forget it."""


def _update_deployment_group(self: Any) -> ActionResult:
    group = self.codedeploy_backend.get_deployment_group(
        application_name=self._get_param("applicationName"),
        deployment_group_name=self._get_param("currentDeploymentGroupName"),
    )
    for key, attribute in {
        "autoScalingGroups": "auto_scaling_groups",
        "serviceRoleArn": "service_role_arn",
        "alarmConfiguration": "alarm_configuration",
        "loadBalancerInfo": "load_balancer_info",
    }.items():
        if (value := self._get_param(key)) is not None:
            setattr(group, attribute, value)
    return ActionResult({"hooksNotCleanedUp": []})


def _delete_deployment_group(self: Any) -> ActionResult:
    groups = self.codedeploy_backend.deployment_groups[self._get_param("applicationName")]
    del groups[self._get_param("deploymentGroupName")]
    return ActionResult({"hooksNotCleanedUp": []})


def _delete_application(self: Any) -> EmptyResult:
    del self.codedeploy_backend.applications[self._get_param("applicationName")]
    return EmptyResult()


def _stop_deployment(self: Any) -> ActionResult:
    deployment = self.codedeploy_backend.get_deployment(self._get_param("deploymentId"))
    deployment.status = "Stopped"
    return ActionResult({"status": "Succeeded"})


_told = codedeploy._deployment_group_info


def _deployment_group_info(group: Any) -> dict[str, Any]:
    """Tell groups and alarms as AWS does."""
    return {
        **_told(group),
        "autoScalingGroups": [{"name": name} for name in group.auto_scaling_groups],
        "alarmConfiguration": group.alarm_configuration,
    }


def _delete_target_group(name: str, _json: Any, account: str, region: str) -> None:
    elbv2_backends[account][region].delete_target_group(name)


def _delete_route_table(name: str, _json: Any, account: str, region: str) -> None:
    backend = ec2_backends[account][region]
    backend.get_route_table(name).associations.clear()
    backend.delete_route_table(name)


def _delete_gateway(name: str, _json: Any, account: str, region: str) -> None:
    backend = ec2_backends[account][region]
    backend.internet_gateways[name].vpc = None
    backend.delete_internet_gateway(name)


def _delete_cluster(name: str, _json: Any, account: str, region: str) -> None:
    ecs_backends[account][region].delete_cluster(name)


def _delete_task_definition(name: str, _json: Any, account: str, region: str) -> None:
    ecs_backends[account][region].deregister_task_definition(name)


@contextmanager
def aws_account(monkeypatch: pytest.MonkeyPatch) -> Iterator["AwsAccount"]:
    """Give an empty account; what boto3 asks meanwhile never leaves this process."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for answer in (
        _update_deployment_group,
        _delete_deployment_group,
        _delete_application,
        _stop_deployment,
    ):
        monkeypatch.setattr(CodeDeployResponse, answer.__name__[1:], answer, raising=False)
    attribute = FakeLoadBalancer.get_cfn_attribute

    def full_name_too(self: Any, name: str) -> Any:
        if name == "LoadBalancerFullName":
            return self.physical_resource_id.partition(":loadbalancer/")[2]
        return attribute(self, name)

    def of_target_group(self: Any, name: str) -> Any:
        full = self.physical_resource_id.rpartition(":")[2]
        return {"TargetGroupFullName": full, "TargetGroupName": self.name}[name]

    deletes = {
        FakeTargetGroup: _delete_target_group,
        RouteTable: _delete_route_table,
        InternetGateway: _delete_gateway,
        Cluster: _delete_cluster,
        TaskDefinition: _delete_task_definition,
    }
    for made, delete in deletes.items():  # which moto's CloudFormation forgets to delete
        monkeypatch.setattr(
            made, "delete_from_cloudformation_json", staticmethod(delete), raising=False
        )
    names = classmethod(lambda _cls, name: name in ("TargetGroupFullName", "TargetGroupName"))
    monkeypatch.setattr(FakeLoadBalancer, "get_cfn_attribute", full_name_too)
    monkeypatch.setattr(FakeTargetGroup, "get_cfn_attribute", of_target_group, raising=False)
    monkeypatch.setattr(FakeTargetGroup, "has_cfn_attr", names, raising=False)
    monkeypatch.setattr(codedeploy, "_deployment_group_info", _deployment_group_info)
    for known in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        known.cache_clear()  # the alarm is new to them
    with mock_aws(), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        yield AwsAccount(noted)
    for one in noted:
        if not _LACKING.search(str(one.message)):
            raise AssertionError(f"a warning: {one.message}")


class AwsAccount:
    """What tests look at in the account."""

    def __init__(self, noted: list[warnings.WarningMessage]) -> None:
        self._noted = noted

    @property
    def skipped(self) -> set[str]:
        """Types of resources in templates that moto left out."""
        found = (_LACKING.search(str(one.message)) for one in self._noted)
        return {one[1] for one in found if one}

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def deploys(self, revision: str = "a.tgz") -> str:
        """Start a deployment as rollout.sh does; return its id."""
        location = {"bucket": "bundles", "key": revision, "bundleType": "tgz"}
        return str(
            self.client("codedeploy").create_deployment(
                applicationName="carprice",
                deploymentGroupName="production",
                revision={"revisionType": "S3", "s3Location": location},
            )["deploymentId"]
        )

    def replaces_the_group(self, deployment: str) -> str:
        """Copy the group as COPY_AUTO_SCALING_GROUP does, delete it; return the new one."""
        scaling, deploy = self.client("autoscaling"), self.client("codedeploy")
        group = deploy.get_deployment_group(
            applicationName="carprice", deploymentGroupName="production"
        )["deploymentGroupInfo"]
        (before,) = group["autoScalingGroups"]
        (blue,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[before["name"]])[
            "AutoScalingGroups"
        ]
        green = f"CodeDeploy_production_{deployment}"
        kept = ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckType", "VPCZoneIdentifier")
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=green,
            TargetGroupARNs=blue["TargetGroupARNs"],
            LaunchTemplate={
                key: blue["LaunchTemplate"][key] for key in ("LaunchTemplateId", "Version")
            },
            HealthCheckGracePeriod=blue["HealthCheckGracePeriod"],
            Tags=[
                {key: tag[key] for key in ("Key", "Value", "PropagateAtLaunch")}
                | {"ResourceId": green, "ResourceType": "auto-scaling-group"}
                for tag in blue["Tags"]
            ],
            **{key: blue[key] for key in kept},
        )
        deploy.update_deployment_group(
            applicationName="carprice",
            currentDeploymentGroupName="production",
            autoScalingGroups=[green],
        )
        scaling.delete_auto_scaling_group(AutoScalingGroupName=before["name"], ForceDelete=True)
        self.ends(deployment, "Succeeded")
        return green

    def gets_an_object_of_two_versions(self, bucket: str) -> None:
        """Write an object twice, and delete it; moto's CloudFormation leaves versions off."""
        s3 = self.client("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for content in (b"1", b"2"):
            s3.put_object(Bucket=bucket, Key="carprice/a", Body=content)
        s3.delete_object(Bucket=bucket, Key="carprice/a")

    def ends(self, deployment: str, status: str) -> None:
        codedeploy_backends[ACCOUNT][REGION].get_deployment(deployment).status = status

    def gets_an_image(self) -> None:
        """Push an image; moto takes the wildcards of the tags that may move for expressions."""
        ecr_backends[ACCOUNT][REGION].repositories[
            "carprice"
        ].image_tag_mutability_exclusion_filters = []
        self.client("ecr").put_image(
            repositoryName="carprice",
            imageManifest='{"schemaVersion": 2}',
            imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
            imageTag="abc",
        )

    def resources(self) -> dict[str, list[str]]:
        """Return the names of all that could be left behind."""
        listed = {
            "cloudformation": ("describe_stacks", "Stacks", "StackName"),
            "autoscaling": (
                "describe_auto_scaling_groups",
                "AutoScalingGroups",
                "AutoScalingGroupName",
            ),
            "s3": ("list_buckets", "Buckets", "Name"),
            "ecr": ("describe_repositories", "repositories", "repositoryName"),
            "elbv2": ("describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
            "logs": ("describe_log_groups", "logGroups", "logGroupName"),
            "iam": ("list_roles", "Roles", "RoleName"),
            "cloudwatch": ("list_dashboards", "DashboardEntries", "DashboardName"),
            "sns": ("list_topics", "Topics", "TopicArn"),
            "lambda": ("list_functions", "Functions", "FunctionName"),
        }
        found = {
            service: [one[name] for one in getattr(self.client(service), call)()[key]]
            for service, (call, key, name) in listed.items()
        }
        ecs = self.client("ecs")
        clusters = ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"]
        found["clusters"] = [one["clusterName"] for one in clusters if one["status"] == "ACTIVE"]
        tasks = ecs.list_task_definitions(status="ACTIVE")
        found["task definitions"] = tasks["taskDefinitionArns"]
        found["codedeploy"] = self.client("codedeploy").list_applications()["applications"]
        ec2 = self.client("ec2")
        found["launch templates"] = [
            one["LaunchTemplateName"] for one in ec2.describe_launch_templates()["LaunchTemplates"]
        ]
        found["networks"] = [
            one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]
        ]
        found["gateways"] = [
            one["InternetGatewayId"] for one in ec2.describe_internet_gateways()["InternetGateways"]
        ]
        found["security groups"] = [
            one["GroupName"]
            for one in ec2.describe_security_groups()["SecurityGroups"]
            if one["GroupName"] != "default"
        ]
        found["target groups"] = [
            one["TargetGroupName"]
            for one in self.client("elbv2").describe_target_groups()["TargetGroups"]
        ]
        found["instances"] = [
            instance["InstanceId"]
            for one in ec2.describe_instances()["Reservations"]
            for instance in one["Instances"]
            if instance["State"]["Name"] != "terminated"
        ]
        found["profiles"] = [
            one["InstanceProfileName"]
            for one in self.client("iam").list_instance_profiles()["InstanceProfiles"]
        ]
        return {service: names for service, names in found.items() if names}
