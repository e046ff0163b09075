"""Where files are: on this machine, on S3 or at a web address. Remote ones are copied first."""

import base64
import contextlib
import itertools
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from carprice.errors import InputError
from carprice.redaction import redact
from carprice.sources.chunks import one_line

_HTTP_TIMEOUT: Final = 60
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class File:
    """A file to read: its name, its address for messages, and how to have it on this machine."""

    name: str
    label: str
    opened: Callable[[], AbstractContextManager[Path]]


def locate(origin: str, scheme: str | None) -> Iterator[File]:
    """Find the files of a path, a pattern, or an S3 or web address."""
    if scheme == "s3":
        yield from _s3_files(origin)
    elif scheme in ("http", "https"):
        yield _web_file(origin)
    elif scheme == "file":
        path = urllib.request.url2pathname(urllib.parse.urlsplit(origin).path)
        yield from _local_files(path)
    else:
        yield from _local_files(origin)


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _local_files(origin: str) -> Iterator[File]:
    path = Path(origin).expanduser()
    if _is_pattern(origin) and not path.exists():
        matches = _glob(path)
        if not matches:
            raise InputError(f"no file matches {origin}; correct ingest.source")
    elif path.is_dir():
        raise InputError(
            f"{origin} is a folder; name a file in it, or a pattern such as {path / '*.csv'}"
        )
    elif not path.exists():
        raise InputError(
            f"file {origin} does not exist; correct ingest.source (relative paths start "
            "in the working folder)"
        )
    else:
        matches = [path]
    for match in matches:
        yield File(match.name, str(match), lambda match=match: contextlib.nullcontext(match))  # type: ignore[misc]


def _glob(path: Path) -> list[Path]:
    fixed = list(itertools.takewhile(lambda part: not _is_pattern(part), path.parts))
    pattern = "/".join(path.parts[len(fixed) :])
    found = Path(*fixed).glob(pattern)
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


@contextlib.contextmanager
def _downloaded(name: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        path = Path(folder, "download" + "".join(PurePosixPath(name).suffixes[-2:]))
        fetch(path)
        yield path


@contextlib.contextmanager
def _s3_errors(label: str) -> Iterator[None]:
    from botocore.exceptions import (
        BotoCoreError,
        NoCredentialsError,
    )

    try:
        yield
    except NoCredentialsError:
        raise InputError(
            f"{label} needs AWS credentials and none were found; run 'aws configure', or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ) from None
    except PermissionError as error:
        raise InputError(
            f"{label}: access denied ({one_line(error)}); the AWS credentials in use need "
            "s3:GetObject and s3:ListBucket for it"
        ) from None
    except (BotoCoreError, OSError) as error:
        raise InputError(
            f"{label} cannot be read from S3: {one_line(error)}; check the address, the region "
            "and AWS_ENDPOINT_URL"
        ) from None


def _s3_files(origin: str) -> Iterator[File]:
    import fsspec

    label = redact(origin)
    path = origin.partition("://")[2]
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise InputError(f"{label} names no file; write s3://bucket/folder/cars.csv")
    with _s3_errors(label):
        store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
        if _is_pattern(path):
            found = store.glob(path, detail=True)
            keys = sorted(name for name, info in found.items() if info["type"] == "file")
        else:
            keys = [path] if _s3_kind(store, path, label) == "file" else []
        if not keys:
            _s3_bucket_exists(store, bucket)
            raise InputError(f"no object matches {label}; correct ingest.source")
    for name in keys:
        yield _s3_file(store, name)


def _s3_kind(store: Any, path: str, label: str) -> str:
    bucket = path.partition("/")[0]
    try:
        kind = str(store.info(path)["type"])
    except FileNotFoundError:
        _s3_bucket_exists(store, bucket)
        raise InputError(f"{label} does not exist; correct the key in ingest.source") from None
    if kind == "directory":
        raise InputError(f"{label} is a folder; name a file in it, or a pattern such as *.csv")
    return kind


def _s3_bucket_exists(store: Any, bucket: str) -> None:
    if not store.exists(bucket):
        raise InputError(
            f"the S3 bucket {bucket!r} does not exist; correct ingest.source, or the account "
            "and region in use"
        )


def _s3_file(store: Any, name: str) -> File:
    label = f"s3://{name}"

    def fetch(path: Path) -> None:
        with _s3_errors(label):
            store.get_file(name, str(path))

    return File(PurePosixPath(name).name, label, lambda: _downloaded(name, fetch))


def _web_file(origin: str) -> File:
    parts = urllib.parse.urlsplit(origin)
    name = PurePosixPath(urllib.parse.unquote(parts.path)).name
    label = redact(origin)
    return File(name, label, lambda: _downloaded(name, lambda path: _download(origin, path)))


def _request(origin: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(origin)
    login, _, host = parts.netloc.rpartition("@")
    headers = {"User-Agent": "carprice"}
    if login:
        plain = urllib.parse.unquote(login if ":" in login else f"{login}:")
        headers["Authorization"] = "Basic " + base64.b64encode(plain.encode()).decode()
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    return urllib.request.Request(  # noqa: S310
        parts._replace(netloc=host, path=path, fragment="").geturl(), headers=headers
    )


def _download(origin: str, path: Path) -> None:
    label = redact(origin)
    try:
        with (
            urllib.request.urlopen(_request(origin), timeout=_HTTP_TIMEOUT) as answer,  # noqa: S310
            path.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file, _BLOCK)
            expected = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(
            f"{label} answered HTTP status {error.code} ({error.reason}); check the address and "
            "that it may be read without further login"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"{label} cannot be reached: {one_line(reason)}") from None
    if expected is not None and path.stat().st_size != int(expected):
        raise InputError(
            f"{label} broke off after {path.stat().st_size} of {expected} bytes; try again"
        )
