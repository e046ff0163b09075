"""Clients of the AWS account, with the usual login of AWS's own tools."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import NoRegionError

from infrastructure.problems import BadInputError, InfrastructureError

_POLL_SECONDS: Final = 5


class Account:
    """One region of an account; ``account.s3`` is boto3's client of S3, and so on.

    Attributes
    ----------
    name : first part of the names of all that is made there.
    region : that of the usual configuration of AWS where None was given.

    Raises
    ------
    BadInputError
        If no region is set anywhere.
    """

    def __init__(self, name: str, region: str | None = None) -> None:
        self.name = name
        # The AWS command line reads AWS_REGION, and boto3 does not.
        self._asked = region or os.environ.get("AWS_REGION")
        try:
            self.region = str(self.cloudformation.meta.region_name)
        except NoRegionError as error:
            raise BadInputError("no region is set; say --region, or export AWS_REGION") from error

    def __getattr__(self, service: str) -> Any:
        """Make a service's client when it is first asked for."""
        if service.startswith("_"):
            raise AttributeError(service)
        config = Config(retries={"mode": "standard", "max_attempts": 5})
        made = boto3.client(service, region_name=self._asked, config=config)
        setattr(self, service, made)
        return made

    def pages(self, service: str, call: str, key: str, **asked: Any) -> Iterator[Any]:
        """Yield what a call lists under a key, of all its pages."""
        for page in getattr(self, service).get_paginator(call).paginate(**asked):
            yield from page.get(key, [])


def wait_until(done: Callable[[], bool], what: str, seconds: float) -> None:
    """Ask again and again.

    Raises
    ------
    InfrastructureError
        If it is not done after so many seconds.
    """
    limit = time.monotonic() + seconds
    while not done():
        if time.monotonic() > limit:
            raise InfrastructureError(f"{what} takes longer than {seconds:.0f} s; try again later")
        time.sleep(_POLL_SECONDS)
