"""What roles of an account may do, and whether that is more than AWS could bind them to."""

import ast
import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cfnlint.decode.cfn_yaml
from aws_account import ACCOUNT, REGION, AwsAccount

Policy = list[dict[str, Any]]
PULLS = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"}


def rights_of(account: AwsAccount, role: str) -> tuple[Policy, Policy]:
    """Return what the role of an ARN may do, and who may take it, as IAM has it."""
    iam, name = account.client("iam"), role.rpartition("/")[2]
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    found = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    # moto keeps what a template says as Python writes it, and of AWS::NoValue None
    rights = ast.literal_eval(found) if isinstance(found, str) else found
    allowed = [one for one in rights["Statement"] if one is not None]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    return allowed, trust["Statement"]


def as_list(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else [one for one in found if one is not None]


def may(policy: Policy, action: str, resource: str, **context: str) -> bool:
    """Return whether a policy of Allow statements allows an action on a resource."""
    for one in policy:
        assert one["Effect"] == "Allow"
        conditions = [
            any(fnmatchcase(context.get(key, ""), pattern) for pattern in as_list(wanted))
            for keys in one.get("Condition", {}).values()
            for key, wanted in keys.items()
        ]
        if (
            action in as_list(one["Action"])
            and any(fnmatchcase(resource, pattern) for pattern in as_list(one["Resource"]))
            and all(conditions)
        ):
            return True
    return False


def actions(policy: Policy) -> set[str]:
    return {action for one in policy for action in as_list(one["Action"])}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def for_everything(policies: Iterable[Policy]) -> set[str]:
    """Return the actions that are allowed on ``*``, of which AWS can bind none to a resource.

    cfn-lint has AWS's list of what each action can be bound to.
    """
    path = Path(cfnlint.decode.cfn_yaml.__file__).parents[1] / "data" / "AdditionalSpecs"
    known = json.loads((path / "Policies.json").read_text(encoding="utf-8"))
    wide = set()
    for one in (statement for policy in policies for statement in policy):
        for action in as_list(one["Action"]):
            assert "*" not in action
            service, _, name = action.partition(":")
            told = known[service]["Actions"][name.lower()]
            if "*" in as_list(one["Resource"]):
                assert "Resources" not in told, action
                wide.add(action)
    return wide
