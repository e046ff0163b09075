#!/usr/bin/env python3
"""Make SageMaker's package of a model folder, and put it into S3: model.tar.gz.

SageMaker unpacks it to /opt/ml/model. Its address in S3 has the model's digest, is printed, and is
never overwritten. Needs the project's Python environment; AWS's own login and region.
"""

import argparse
import gzip
import io
import sys
import tarfile
from pathlib import Path
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from carprice.errors import CarpriceError, RefusedError
from carprice.model_folder import MANIFEST, read_files

PREFIX: Final = "carprice-models"


def package(folder: Path) -> tuple[str, bytes]:
    """Return a model's digest, and its package, whose files everybody may read.

    Raises
    ------
    CarpriceError
        If the folder is no model folder, or a file of it is not as it was written.
    """
    files = read_files(folder)
    path = folder / MANIFEST
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, content in {MANIFEST: path.read_bytes(), **files.contents}.items():
            member = tarfile.TarInfo(name)
            # The service tells the time of model.json as that of the model.
            member.size, member.mode, member.mtime = len(content), 0o644, int(path.stat().st_mtime)
            archive.addfile(member, io.BytesIO(content))
    return files.digest, packed.getvalue()


def upload(digest: str, content: bytes, bucket: str) -> str:
    """Put a package into a bucket, unless it is there; return its address.

    Raises
    ------
    RefusedError
        If S3 refuses, or cannot be asked.
    """
    key = f"{PREFIX}/{digest}/model.tar.gz"
    try:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise RefusedError(f"s3://{bucket}/{key} cannot be written: {error}") from None
    except BotoCoreError as error:
        raise RefusedError(f"s3://{bucket}/{key} cannot be written: {error}") from None
    return f"s3://{bucket}/{key}"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="package.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="the model folder, such as models/candidate")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--bucket", help=f"where it goes, below {PREFIX}/")
    where.add_argument("--out", type=Path, help="a file to write instead; nothing goes to S3")
    given = parser.parse_args(arguments)
    try:
        digest, content = package(given.model)
        if given.out is None:
            told = upload(digest, content, given.bucket)
        else:
            given.out.write_bytes(content)
            told = str(given.out)
    except (CarpriceError, OSError) as error:
        sys.stderr.write(f"package.py: {error}\n")
        return error.exit_code if isinstance(error, CarpriceError) else 1
    sys.stdout.write(f"{told}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
