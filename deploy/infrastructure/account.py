"""Clients of the AWS account, with the usual login of AWS's own tools."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from botocore.config import Config

from infrastructure.problems import BadInputError, InfrastructureError

_POLL_SECONDS: Final = 5


@dataclass
class Account:
    """One region of an account, and the name that all resources there have in common.

    Raises
    ------
    BadInputError
        If no region is set.
    """

    name: str
    region: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._session = boto3.session.Session(region_name=self.region)
        self.region = self._session.region_name
        if not self.region:
            raise BadInputError("no region is set; say --region, or export AWS_REGION")

    def __getattr__(self, service: str) -> Any:
        """Return boto3's client of a service."""
        if service.startswith("_"):
            raise AttributeError(service)
        if service not in self._clients:
            config = Config(retries={"mode": "standard", "max_attempts": 5})
            self._clients[service] = self._session.client(service, config=config)
        return self._clients[service]

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
