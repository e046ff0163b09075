"""CloudFormation stacks, one for each template, wired by name.

A parameter is given by the user, or is the output of the same name of a stack before, or stays as
it was, or has the template's default.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from botocore.exceptions import ClientError, WaiterError

from infrastructure.account import Account
from infrastructure.problems import BadInputError, InfrastructureError

FOLDER: Final = Path(__file__).resolve().parents[1] / "cloudformation"
ORDER: Final = ("storage", "network", "service", "access", "observability")
"""Of making; removal goes the other way."""
OTHERS: Final = ("ecs", "ecs-tls", "lambda", "sagemaker")
"""Stacks of other targets, of their folders in ``deploy/``: they use images, bucket, network."""
_WAITS: Final = {"Delay": 5, "MaxAttempts": 360}


class _Loader(yaml.SafeLoader):
    """Reads a template as far as its parameters: ``!Ref`` and the like are nothing to it."""


_Loader.add_multi_constructor("!", lambda *_: None)


@dataclass(frozen=True)
class Stack:
    """A stack as it is in the account: state, parameters and outputs."""

    state: str
    parameters: dict[str, str]
    outputs: dict[str, str]


@functools.cache
def parameters_of(template: str) -> dict[str, dict[str, Any]]:
    """Return the parameters that a template declares."""
    text = (FOLDER / f"{template}.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = yaml.load(text, _Loader)["Parameters"]  # noqa: S506 - safe
    return found


def check_names(given: dict[str, str], templates: tuple[str, ...] = ORDER) -> None:
    """Refuse parameters that no template has.

    Raises
    ------
    BadInputError
        If there is such a parameter; the message lists those that there are.
    """
    known = {name for template in templates for name in parameters_of(template)} - {"Name", "Port"}
    for name in given:
        if name not in known:
            raise BadInputError(
                f"there is no parameter {name}; there are {', '.join(sorted(known))}"
            )


def find(account: Account, template: str) -> Stack | None:
    """Return the stack of a template, or None."""
    try:
        (found,) = account.cloudformation.describe_stacks(StackName=_name(account, template))[
            "Stacks"
        ]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return Stack(
        found["StackStatus"],
        {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])},
        {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])},
    )


def apply(account: Account, template: str, given: dict[str, str], wired: dict[str, str]) -> str:
    """Make a stack or bring it up to date; return "made", "changed" or "as it was".

    Raises
    ------
    BadInputError
        If a parameter without a default is missing.
    InfrastructureError
        If CloudFormation refuses; the message has the reasons.
    """
    name, there = _name(account, template), find(account, template)
    if there is not None and there.state in (
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "DELETE_FAILED",
    ):
        remove(account, template)  # what failed when it was first made can only be deleted
        wired, there = {**there.parameters, **wired}, None
    if there is not None and there.state.endswith("_IN_PROGRESS"):
        raise InfrastructureError(f"{name} is being changed ({there.state}); wait for its end")
    asked = {
        "StackName": name,
        "TemplateBody": (FOLDER / f"{template}.yaml").read_text(encoding="utf-8"),
        "Parameters": _parameters(template, {**wired, **given}, there),
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": [{"Key": "carprice", "Value": account.name}],
    }
    try:
        if there is None:
            account.cloudformation.create_stack(**asked)
            _wait(account, name, "stack_create_complete")
            return "made"
        account.cloudformation.update_stack(**asked)
        _wait(account, name, "stack_update_complete")
        return "changed"
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return "as it was"
        raise


def remove(account: Account, template: str) -> bool:
    """Delete a stack; return whether there was one.

    Raises
    ------
    InfrastructureError
        If a resource cannot be deleted; the message has the reasons.
    """
    name = _name(account, template)
    if find(account, template) is None:
        return False
    account.cloudformation.delete_stack(StackName=name)
    _wait(account, name, "stack_delete_complete")
    return True


def _name(account: Account, template: str) -> str:
    return f"{account.name}-{template}"


def _parameters(
    template: str, values: dict[str, str], there: Stack | None
) -> list[dict[str, str | bool]]:
    found: list[dict[str, str | bool]] = []
    for name, declared in parameters_of(template).items():
        if name in values:
            found.append({"ParameterKey": name, "ParameterValue": values[name]})
        elif there is not None and name in there.parameters:
            found.append({"ParameterKey": name, "UsePreviousValue": True})
        elif "Default" in declared:
            found.append({"ParameterKey": name, "ParameterValue": str(declared["Default"])})
        else:
            raise BadInputError(
                f"{name} is missing for {template}.yaml; say --set {name}=<value> "
                f"({declared.get('Description', declared['Type'])})"
            )
    return found


def _wait(account: Account, name: str, state: str) -> None:
    try:
        account.cloudformation.get_waiter(state).wait(StackName=name, WaiterConfig=_WAITS)
    except WaiterError as error:
        events = account.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{one['LogicalResourceId']}: {one['ResourceStatusReason']}"
            for one in events
            if one["ResourceStatus"].endswith("_FAILED")
            and "cancelled" not in one.get("ResourceStatusReason", "cancelled")
        ]
        raise InfrastructureError(f"{name}: {'; '.join(reasons[:5]) or error}") from error
