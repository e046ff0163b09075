"""The data that a removal would delete: objects, images and parameters."""

from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from infrastructure.account import Account

_OBJECTS: Final = 1000  # at once, at most
_IMAGES: Final = 100
_PARAMETERS: Final = 10


@dataclass(frozen=True)
class Kept:
    """How much data there is.

    Attributes
    ----------
    objects : versions of objects in the bucket, and marks of deleted ones.
    images : in the repository.
    parameters : names in the Parameter Store below ``/<name>/``.
    """

    objects: int
    images: int
    parameters: list[str]


def count(account: Account, bucket: str) -> Kept:
    """Return what is there."""
    return Kept(len(_objects(account, bucket)), len(_images(account)), sorted(_parameters(account)))


def delete(account: Account, bucket: str) -> None:
    """Delete every version of every object, every image, and every parameter."""
    objects = _objects(account, bucket)
    for start in range(0, len(objects), _OBJECTS):
        account.s3.delete_objects(
            Bucket=bucket, Delete={"Objects": objects[start : start + _OBJECTS], "Quiet": True}
        )
    images = _images(account)
    for start in range(0, len(images), _IMAGES):
        account.ecr.batch_delete_image(
            repositoryName=account.name, imageIds=images[start : start + _IMAGES]
        )
    parameters = _parameters(account)
    for start in range(0, len(parameters), _PARAMETERS):
        account.ssm.delete_parameters(Names=parameters[start : start + _PARAMETERS])


def _objects(account: Account, bucket: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    if not bucket:
        return found
    try:
        for key in ("Versions", "DeleteMarkers"):
            for one in account.pages("s3", "list_object_versions", key, Bucket=bucket):
                found.append({"Key": one["Key"], "VersionId": one["VersionId"]})  # noqa: PERF401
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return found


def _images(account: Account) -> list[dict[str, str]]:
    try:
        listed = account.pages("ecr", "list_images", "imageIds", repositoryName=account.name)
        digests = {one["imageDigest"] for one in listed}
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise
        digests = set()
    return [{"imageDigest": digest} for digest in sorted(digests)]


def _parameters(account: Account) -> list[str]:
    listed = account.pages(
        "ssm", "get_parameters_by_path", "Parameters", Path=f"/{account.name}/", Recursive=True
    )
    return [one["Name"] for one in listed]
