"""DVC's default remote: whether it can be reached, and raw data of an earlier run from it.

DVC and boto3 find the AWS credentials by themselves.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from carprice.errors import InputError, RefusedError
from carprice.files import replacing
from carprice.listings.snapshot import snapshot_digest
from carprice.listings.sources.chunks import one_line
from carprice.listings.sources.locations import s3_errors
from carprice.redaction import redact

_PLACEHOLDER: Final = "<your-bucket>"
SET_IT: Final = "run `dvc remote add --default --force storage s3://bucket/path`"
_DIGEST: Final = re.compile(r"[0-9a-f]{32}\.dir")
_SECONDS_TO_CONNECT: Final = 3
_SECONDS_TO_ANSWER: Final = 4


@dataclass(frozen=True)
class DataRemote:
    """Where data is kept: an address, and for S3 the endpoint, region and profile to ask with."""

    url: str
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None


def project_root() -> Path:
    """Return the nearest folder upwards that is a DVC project; an InputError if there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc" / "config").is_file():
            return folder
    raise InputError(
        f"{here} is no DVC project (it has no .dvc/config); run in the project's folder"
    )


def default_remote(root: Path) -> DataRemote | None:
    """Return the default remote by all of DVC's config files; None where none has been set."""
    from dvc.config import Config, ConfigError

    try:
        config = Config(str(root / ".dvc"))
    except (ConfigError, OSError) as error:
        reason = one_line(redact(str(error)))
        raise InputError(f"DVC cannot read its config: {reason}; correct .dvc/config") from None
    remote = config["remote"].get(config["core"].get("remote"), {})
    url, *others = (remote.get(key) for key in ("url", "endpointurl", "region", "profile"))
    if url is None or urllib.parse.urlsplit(url).netloc == _PLACEHOLDER:
        return None
    return DataRemote(url, *others)


def reach(remote: DataRemote) -> None:
    """Ask an S3 remote what it holds, with the credentials of the usual AWS chain.

    Takes at most about ten seconds, also where nothing answers.

    Raises
    ------
    RefusedError
        If there are no credentials, they are refused, or there is no such bucket or store.
    """
    import boto3
    from botocore.config import Config

    parts = urllib.parse.urlsplit(remote.url)
    with s3_errors(remote.url, RefusedError):
        session = boto3.Session(profile_name=remote.profile, region_name=remote.region)
        config = Config(
            connect_timeout=_SECONDS_TO_CONNECT,
            read_timeout=_SECONDS_TO_ANSWER,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        client: Any = session.client("s3", endpoint_url=remote.endpoint_url, config=config)
        try:
            prefix = parts.path.strip("/") + "/"
            client.list_objects_v2(Bucket=parts.netloc, Prefix=prefix.lstrip("/"), MaxKeys=1)
        finally:
            client.close()


def bring_back(root: Path, digest: str, out: Path) -> int:
    """Write the raw data that a digest names to a new folder; return how many files it has.

    The bytes come from DVC's cache, else from the default remote, and are checked.

    Raises
    ------
    InputError
        If the digest is none, or ``out`` is there already.
    RefusedError
        If neither the cache nor the remote has the data, or what they have was changed.
    """
    if not _DIGEST.fullmatch(digest):
        raise InputError(
            f"{digest!r} is no digest of raw data, which has 32 hexadecimal digits and .dir; see "
            "raw_digest in data/report.json, in the data card or in the tags of the version"
        )
    if out.exists():
        raise InputError(f"--out {out} is there already; name a new folder")
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=root) as scratch:
        pointer, files = Path(scratch, "snapshot.dvc"), Path(scratch, "files")
        content = {"outs": [{"md5": digest, "hash": "md5", "path": files.name}]}
        pointer.write_text(yaml.safe_dump(content), encoding="utf-8")
        _check_out(root, pointer, digest)
        if not files.is_dir() or snapshot_digest(files) != digest:
            raise RefusedError(
                f"DVC's cache holds other bytes than {digest} names; run this in a new clone"
            )
        try:
            with replacing(out) as written:
                # Copied, not moved: DVC may have made links, and a change would reach its cache.
                shutil.copytree(files, written, copy_function=shutil.copyfile, dirs_exist_ok=True)
        except OSError as error:
            raise RefusedError(f"--out {out} cannot be written: {one_line(error)}") from None
        return sum(path.is_file() for path in out.rglob("*"))


def _check_out(root: Path, pointer: Path, digest: str) -> None:
    if _dvc(root, "checkout", str(pointer)).returncode == 0:
        return
    remote = default_remote(root)
    if remote is None:
        raise RefusedError(
            f"{digest} is not in DVC's cache, and there is no data remote to ask; {SET_IT}"
        )
    if remote.url.startswith("s3://"):
        reach(remote)
    done = _dvc(root, "pull", str(pointer))
    if done.returncode:
        raise RefusedError(
            f"{digest} is neither in DVC's cache nor at {redact(remote.url)} ({_reason(done)}); "
            "run `dvc push` where the run was made"
        )


def _dvc(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[0].rstrip(":")
