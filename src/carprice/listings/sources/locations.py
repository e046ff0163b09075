"""Find files on this machine, on S3 or at a web address. Remote files are copied before reading."""

import itertools
import re
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from carprice.errors import CarpriceError, InputError
from carprice.files import is_refusal
from carprice.listings.sources.chunks import one_line
from carprice.listings.sources.limits import Transfer
from carprice.listings.sources.web import download
from carprice.redaction import redact

_STORE_ADDRESS: Final = "the store's own address (AWS_ENDPOINT_URL, or endpointurl of a DVC remote)"
_LONGEST_SHOWN: Final = 200
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
    fetch: Callable[[Path], object]
    path: Path | None = None

    @contextmanager
    def opened(self, copy: Path | None) -> Iterator[Path]:
        """Yield a path to read from: ``copy``, made first, or any path if ``copy`` is None."""
        if copy is None and self.path is not None:
            yield self.path
            return
        scratch = (
            tempfile.TemporaryDirectory(prefix="carprice-") if copy is None else nullcontext("")
        )
        with scratch as folder:
            endings = "".join(PurePosixPath(self.name).suffixes[-2:])
            target = copy or Path(folder, "download" + endings)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                self.fetch(target)
            except OSError as error:
                if is_refusal(error, target.parent):
                    raise
                reason = error.strerror or error
                raise InputError(f"{self.label} cannot be copied: {reason}") from None
            yield target


def locate(origin: str, scheme: str | None, passed_over: Path | None = None) -> list[File]:
    """Return the files of a path, a pattern, or an S3 or web address, in the order of reading.

    A pattern matches no file in the folder ``passed_over`` unless the pattern starts there.
    """
    if scheme == "s3":
        return _s3_files(origin)
    try:
        if scheme in ("http", "https"):
            return [_web_file(origin)]
        if scheme == "file":
            origin = urllib.request.url2pathname(urllib.parse.urlsplit(origin).path)
        return _local_files(origin, passed_over)
    except (ValueError, RuntimeError, OSError) as error:
        shown = redact(origin)
        shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
        reason = (isinstance(error, OSError) and error.strerror) or one_line(error)
        raise InputError(
            f"{shown} is no path or address that can be looked up: {reason[:_LONGEST_SHOWN]}; "
            "correct ingest.source"
        ) from None


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
    if path.is_dir():
        raise InputError(
            f"{origin} is a folder; name a file in it, or a pattern such as {path / '*.csv'}"
        )
    if path.exists():
        return [_local_file(path)]
    if not _is_pattern(origin):
        raise InputError(
            f"file {origin} does not exist; correct ingest.source (relative paths start "
            "in the working folder)"
        )
    matches = _glob(path, passed_over)
    if not matches:
        raise InputError(f"no file matches {origin}; correct ingest.source")
    return [_local_file(match) for match in matches]


def _local_file(path: Path) -> File:
    return File(path.name, str(path), lambda target: shutil.copyfile(path, target), path)


def _glob(path: Path, passed_over: Path | None) -> list[Path]:
    fixed = list(itertools.takewhile(lambda part: not _is_pattern(part), path.parts))
    start = Path(*fixed)
    found = start.glob("/".join(path.parts[len(fixed) :]))
    files = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    if passed_over is None or start.resolve().is_relative_to(passed_over.resolve()):
        return files
    base, outside = start.resolve(), passed_over.resolve()
    return [file for file in files if not (base / file.relative_to(start)).is_relative_to(outside)]


def stored(address: str) -> tuple[Any, str]:
    """Return the file system of a path or an S3 address, and the path there."""
    import fsspec

    if not address.startswith("s3://"):
        return fsspec.filesystem("file"), _path_in_store(address)
    store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    return store, _path_in_store(address)


def _path_in_store(address: str) -> str:
    if not address.startswith("s3://"):
        return str(Path(address).expanduser().absolute())
    path = address.removeprefix("s3://").rstrip("/")
    return re.sub(r"\[([*?\[])\]", r"\1", path)  # as glob.escape writes them


def state_of(address: str) -> str:
    """Return what changes whenever a file at an address does."""
    return _states_of([address])[0]


def _states_of(files: Sequence[str]) -> list[str]:
    """Return the states of files in one store; see :func:`state_of`."""
    store, states = stored(files[0])[0], []
    for file in files:
        with s3_errors(redact(file)):
            states.append(str(store.ukey(_path_in_store(file))))
    return states


@contextmanager
def unchanged(files: Sequence[str], label: str) -> Iterator[Callable[[], None]]:
    """Yield what refuses files at addresses that have changed since; so does the block's end.

    An InputError of the block is told as such a change where there was one.
    """
    states = _states_of(files)

    def check() -> None:
        if states != _states_of(files):
            raise InputError(f"{label} was changed while it was read; start again when it is whole")

    try:
        yield check
    except InputError:
        check()
        raise
    check()


@contextmanager
def s3_errors(address: str, kind: type[CarpriceError] = InputError) -> Iterator[None]:
    """Turn what boto3 and s3fs raise into an error of one line that names the remedy."""
    import botocore.exceptions as aws

    try:
        yield
    except (aws.NoCredentialsError, aws.PartialCredentialsError):
        raise kind(
            f"{address} needs AWS credentials and none were found; run `aws configure`, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ) from None
    except PermissionError as error:
        raise kind(f"{address}: {_denied(one_line(error))}") from None
    except aws.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code") or "an error")
        reason = f"S3 refused with {code}; check the AWS credentials and the region"
        if code in ("NoSuchBucket", "404"):
            reason = (
                f"there is no bucket {urllib.parse.urlsplit(address).netloc!r}; make it, or "
                f"correct its name, the account, or {_STORE_ADDRESS}"
            )
        elif code in ("AccessDenied", "AllAccessDisabled", "403"):
            reason = _denied(code)
        raise kind(f"{address}: {reason}") from None
    except CarpriceError:
        raise
    except Exception as error:  # aiohttp's and those of botocore's parsers have no common root
        if isinstance(error, OSError) and is_refusal(error):
            raise
        raise kind(
            f"{address} cannot be reached: {one_line(error)}; check the address, the network, the "
            f"region, and {_STORE_ADDRESS}"
        ) from None


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
        found = store.glob(path, detail=True)
        names = sorted(name for name, info in found.items() if info["type"] == "file")
        if names:
            return [_s3_file(store, name) for name in names]
        if not store.exists(bucket):
            raise InputError(
                f"the S3 bucket {bucket!r} does not exist; correct ingest.source, or the account "
                "and region in use"
            )
    if _is_pattern(path):
        raise InputError(f"no object matches {label}; correct ingest.source")
    if found:
        raise InputError(f"{label} is a folder; name a file in it, or a pattern such as *.csv")
    raise InputError(f"{label} does not exist; correct the key in ingest.source")


def _s3_file(store: Any, name: str) -> File:
    label = f"s3://{name}"

    def fetch(path: Path) -> None:
        from fsspec.callbacks import Callback

        class Counting(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                transfer.add(inc)

        transfer = Transfer(label)
        with s3_errors(label):
            store.get_file(name, str(path), callback=Counting())

    return File(PurePosixPath(name).name, label, fetch)


def _web_file(origin: str) -> File:
    path = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(origin).path))
    return File(path.name, redact(origin), lambda target: download(origin, target))
