"""Find files on this machine, on S3 or at a web address. Remote files are copied before reading."""

import base64
import contextlib
import itertools
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from carprice.errors import CarpriceError, InputError
from carprice.listings.sources.chunks import one_line
from carprice.redaction import redact

_HTTP_TIMEOUT: Final = 60
_BLOCK: Final = 1 << 20
_UNFIT: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # for a file's name on some system


@dataclass(frozen=True)
class File:
    """A file to read.

    Attributes
    ----------
    name : without its folder.
    label : its path or address for messages, without secrets.
    fetch : copies the file to a path.
    path : where it stands, if it is on this machine.
    """

    name: str
    label: str
    fetch: Callable[[Path], None]
    path: Path | None = None

    @contextlib.contextmanager
    def opened(self, copy: Path | None) -> Iterator[Path]:
        """Yield a path to read from: ``copy``, made first, or any path if ``copy`` is None."""
        if copy is not None:
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.fetch(copy)
            yield copy
        elif self.path is not None:
            yield self.path
        else:
            with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
                path = Path(folder, "download" + "".join(PurePosixPath(self.name).suffixes[-2:]))
                self.fetch(path)
                yield path


def locate(origin: str, scheme: str | None, passed_over: Path | None = None) -> list[File]:
    """Return the files of a path, a pattern, or an S3 or web address, in the order of reading.

    A pattern matches no file in the folder ``passed_over`` unless the pattern starts there.
    """
    if scheme == "s3":
        return _s3_files(origin)
    if scheme in ("http", "https"):
        return [_web_file(origin)]
    if scheme == "file":
        origin = urllib.request.url2pathname(urllib.parse.urlsplit(origin).path)
    return _local_files(origin, passed_over)


def names_of_copies(files: Sequence[File]) -> list[PurePosixPath]:
    """Return a relative path for the copy of each file, with the file's own name.

    The paths sort in the order of the files, so that a pattern reads the copies in that order. If
    the names alone do not sort so, each copy gets a numbered folder of its own.
    """
    names = [file.name if file.path else _UNFIT.sub("_", file.name) for file in files]
    if _ascends(names) and _ascends([name.casefold() for name in names]):
        return [PurePosixPath(name) for name in names]
    return [PurePosixPath(f"{place:06}", name) for place, name in enumerate(names, start=1)]


def _ascends(names: Sequence[str]) -> bool:
    return all(one < other for one, other in itertools.pairwise(names))


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _local_files(origin: str, passed_over: Path | None) -> list[File]:
    path = Path(origin).expanduser()
    if _is_pattern(origin) and not path.exists():
        matches = _glob(path, passed_over)
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
    return [_local_file(match) for match in matches]


def _local_file(path: Path) -> File:
    def copy(target: Path) -> None:
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise InputError(f"{path} cannot be copied: {error.strerror or error}") from None

    return File(path.name, str(path), copy, path)


def _glob(path: Path, passed_over: Path | None) -> list[Path]:
    fixed = list(itertools.takewhile(lambda part: not _is_pattern(part), path.parts))
    pattern = "/".join(path.parts[len(fixed) :])
    start = Path(*fixed)
    found = start.glob(pattern)
    files = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    if passed_over is None or start.resolve().is_relative_to(passed_over.resolve()):
        return files
    base, outside = start.resolve(), passed_over.resolve()
    return [file for file in files if not (base / file.relative_to(start)).is_relative_to(outside)]


@contextlib.contextmanager
def s3_errors(address: str, kind: type[CarpriceError] = InputError) -> Iterator[None]:
    """Turn what boto3 and s3fs raise into an error of one line that names the remedy."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError):
        raise kind(
            f"{address} needs AWS credentials and none were found; run `aws configure`, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ) from None
    except PermissionError as error:
        raise kind(f"{address}: {_denied(one_line(error))}") from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise kind(f"{address}: {_s3_refusal(address, code)}") from None
    except (BotoCoreError, OSError, ValueError) as error:
        raise kind(
            f"{address} cannot be reached: {one_line(error)}; check the address, the network, the "
            "region, and the store's own address (AWS_ENDPOINT_URL, or endpointurl of a DVC remote)"
        ) from None


def _s3_refusal(address: str, code: str) -> str:
    if code in ("NoSuchBucket", "404"):
        bucket = urllib.parse.urlsplit(address).netloc
        return (
            f"there is no bucket {bucket!r}; make it, or correct its name, the account, or the "
            "store's address (AWS_ENDPOINT_URL, or endpointurl of a DVC remote)"
        )
    if code in ("AccessDenied", "AllAccessDisabled", "403"):
        return _denied(code)
    return f"S3 refused with {code or 'an error'}; check the AWS credentials and the region"


def _denied(reason: str) -> str:
    return (
        f"access denied ({reason}); the AWS credentials in use need s3:ListBucket and "
        "s3:GetObject for it, and s3:PutObject to push"
    )


def _s3_files(origin: str) -> list[File]:
    import fsspec

    label = redact(origin)
    path = origin.partition("://")[2]
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise InputError(f"{label} names no file; write s3://bucket/folder/cars.csv")
    with s3_errors(label):
        store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
        if _is_pattern(path):
            found = store.glob(path, detail=True)
            keys = sorted(name for name, info in found.items() if info["type"] == "file")
        else:
            keys = [path] if _s3_kind(store, path, label) == "file" else []
        if not keys:
            _s3_bucket_exists(store, bucket)
            raise InputError(f"no object matches {label}; correct ingest.source")
    return [_s3_file(store, name) for name in keys]


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
        with s3_errors(label):
            store.get_file(name, str(path))

    return File(PurePosixPath(name).name, label, fetch)


def _web_file(origin: str) -> File:
    parts = urllib.parse.urlsplit(origin)
    name = PurePosixPath(urllib.parse.unquote(parts.path)).name
    return File(name, redact(origin), lambda path: _download(origin, path))


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
