"""S3 as Arrow reads and writes it: the service has no other client of it."""

import os
import re
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

S3: Final = "s3://"
_FILE: Final = re.compile(rf"{S3}[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/[A-Za-z0-9._=-]+)+")
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ANY_REGION: Final = "us-east-1"
"""For a server that is not AWS's."""
_CONNECT_SECONDS: Final = 3.0
_REQUEST_SECONDS: Final = 20.0
_opening: Final = threading.Lock()


def check_file(address: str) -> None:
    """Raise :class:`ValueError` for what is no address of a file in S3."""
    if not _FILE.fullmatch(address):
        raise ValueError("is no s3://bucket/folder/name of letters, digits, '.', '_', '=' and '-'")


def open_store(bucket: str, environment: Mapping[str, str] = os.environ) -> Any:
    """Return Arrow's file system of S3; it asks once, and whoever calls tries again.

    AWS_ENDPOINT_URL and the region are read as AWS's own tools do. A process has one for each of
    these.
    """
    endpoint = next(filter(None, map(environment.get, _ENDPOINTS)), None)
    region = next(filter(None, map(environment.get, _REGIONS)), None)
    if not (endpoint or region):
        region = _region_of(bucket)
    with _opening:
        return _opened(endpoint or "", region or _ANY_REGION)


@lru_cache
def _region_of(bucket: str) -> str:
    from pyarrow import fs

    return str(fs.resolve_s3_region(bucket))


@lru_cache
def _opened(endpoint: str, region: str) -> Any:
    """Open the store, with a region in the environment.

    Without one there, AWS's client asks the machine for its region, whatever it is told, and holds
    up all of Python meanwhile.
    """
    from pyarrow import fs

    where: dict[str, Any] = {"region": region}
    if endpoint:
        address = urlsplit(endpoint)
        where |= {"endpoint_override": address.netloc, "scheme": address.scheme}
    is_missing = not any(map(os.environ.get, _REGIONS))
    if is_missing:
        os.environ[_REGIONS[0]] = region
    try:
        return fs.S3FileSystem(
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
            **where,
        )
    finally:
        if is_missing:
            del os.environ[_REGIONS[0]]
