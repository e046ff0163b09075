"""The data remote: DVC's default remote, which ``dvc push`` and ``dvc pull`` work against.

DVC is used by its own commands. Credentials are those of the usual AWS chain (environment, profile,
role), which DVC and boto3 read by themselves; none is read, taken or written here.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from carprice.errors import InputError, RefusedError
from carprice.files import replacing, writing
from carprice.listings.snapshot import snapshot_digest
from carprice.listings.sources.chunks import one_line
from carprice.redaction import redact

NAME: Final = "storage"
PLACEHOLDER: Final = "<your-bucket>"
SET_IT: Final = "run `carprice setup remote s3://bucket/path`"
_OTHER_KINDS: Final = f"for a remote that is not S3 run `dvc remote modify {NAME} url …`"
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{1,61}[A-Za-z0-9]")
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

    @property
    def is_placeholder(self) -> bool:
        """Whether no one has set the address yet."""
        return urllib.parse.urlsplit(self.url).netloc == PLACEHOLDER


def s3_remote(url: str, endpoint_url: str | None = None, region: str | None = None) -> DataRemote:
    """Return the remote at an ``s3://`` address.

    Raises
    ------
    InputError
        If the address names no bucket, or holds what has no place in a file that git keeps.

    Examples
    --------
    >>> s3_remote("s3://market/carprice/").url
    's3://market/carprice'
    """
    options = {"the address": url, "--endpoint-url": endpoint_url, "--region": region}
    for name, given in options.items():
        if given and not given.isprintable():  # not shown: what is cut in two is not redacted
            raise InputError(f"{name} holds a line break or control character; leave it out")
    parts, shown = _split(url), redact(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise InputError(f"{shown} is not s3://bucket/path; correct it, or {_OTHER_KINDS}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"s3://{parts.netloc.rpartition('@')[2]}{parts.path} was given with a login or query; "
            "leave them out, for credentials come from the usual AWS chain"
        )
    if parts.netloc == PLACEHOLDER:
        raise InputError(f"{shown} is the placeholder; name a bucket of yours")
    if not _BUCKET.fullmatch(parts.netloc):
        raise InputError(
            f"{parts.netloc!r} cannot be a bucket's name; write s3://bucket/path, and the "
            "store's own address with --endpoint-url"
        )
    if endpoint_url is not None:
        _check_endpoint(endpoint_url)
    path = parts.path.rstrip("/")
    return DataRemote(f"s3://{parts.netloc}{path}", endpoint_url, region)


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:  # such as half an IPv6 address
        return urllib.parse.urlsplit("")


def _check_endpoint(url: str) -> None:
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"--endpoint-url {redact(url)} is not http(s)://host:port; correct it")
    if "@" in parts.netloc or parts.query:
        raise InputError(
            f"--endpoint-url {redact(url)} holds a login or query; leave it out, for credentials "
            "come from the usual AWS chain"
        )


def project_root() -> Path:
    """Return the nearest folder upwards that is a DVC project.

    Raises
    ------
    InputError
        If there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc" / "config").is_file():
            return folder
    raise InputError(
        f"{here} is no DVC project (it has no .dvc/config); run in the project's folder"
    )


def default_remote(root: Path) -> DataRemote | None:
    """Return the default remote of a project, after all of DVC's config files; None without one."""
    done = _dvc(root, "config", "--list")
    if done.returncode:
        raise InputError(f"DVC cannot read its config: {_reason(done)}; correct .dvc/config")
    # The lines of a later file win: system, user, project, .dvc/config.local.
    config = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    prefix = f"remote.{config.get('core.remote')}."
    if f"{prefix}url" not in config:
        return None
    options = ("url", "endpointurl", "region", "profile")
    url, *others = (config.get(f"{prefix}{option}") for option in options)
    return DataRemote(str(url), *others)


def set_default(root: Path, remote: DataRemote) -> None:
    """Make a remote the project's default; ``.dvc/config`` is replaced in one step or not at all.

    Raises
    ------
    InputError
        If DVC cannot read or write the config.
    """
    config = root / ".dvc" / "config"
    with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
        draft = Path(scratch, ".dvc", "config")
        draft.parent.mkdir()
        shutil.copyfile(config, draft)

        def dvc(*arguments: str) -> str:
            done = _dvc(Path(scratch), *arguments)
            if done.returncode:
                raise InputError(f"DVC cannot change {config}: {_reason(done)}; correct the file")
            return done.stdout

        given = {
            line.partition("=")[0] for line in dvc("config", "--project", "--list").splitlines()
        }
        if f"remote.{NAME}.url" in given:
            dvc("remote", "modify", NAME, "url", remote.url)
            dvc("remote", "default", NAME)
        else:
            dvc("remote", "add", "--default", NAME, remote.url)
        # Both belong to the bucket; profile, sse and the like are the project's, and stay.
        options = {"endpointurl": remote.endpoint_url, "region": remote.region}
        for name, text in options.items():
            if text:
                dvc("remote", "modify", NAME, name, text)
            elif f"remote.{NAME}.{name}" in given:
                dvc("remote", "modify", "--unset", NAME, name)
        with writing(config) as path:
            shutil.copyfile(draft, path)


def reach(remote: DataRemote) -> None:
    """List what stands at an S3 remote, with the credentials of the usual AWS chain.

    Takes at most about ten seconds, also where nothing answers.

    Raises
    ------
    RefusedError
        If there are no credentials, they are refused, or there is no such bucket or store.
    """
    import boto3
    from botocore.config import Config

    parts = urllib.parse.urlsplit(remote.url)
    with _s3_errors(remote):
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


@contextmanager
def _s3_errors(remote: DataRemote) -> Iterator[None]:
    from botocore import exceptions as aws

    bucket = urllib.parse.urlsplit(remote.url).netloc
    try:
        yield
    except (aws.NoCredentialsError, aws.PartialCredentialsError):
        raise RefusedError(
            f"{remote.url} needs AWS credentials and none were found; run `aws configure`, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ) from None
    except aws.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise RefusedError(f"{remote.url}: {_refusal(bucket, code)}") from None
    except (aws.BotoCoreError, ValueError) as error:
        raise RefusedError(
            f"{remote.url} cannot be reached: {one_line(error)}; check the network, "
            "the region, AWS_ENDPOINT_URL and --endpoint-url"
        ) from None


def _refusal(bucket: str, code: str) -> str:
    if code in ("NoSuchBucket", "404"):
        return (
            f"there is no bucket {bucket!r}; make it, or correct its name, the account, or the "
            "store (AWS_ENDPOINT_URL, --endpoint-url)"
        )
    if code in ("AccessDenied", "AllAccessDisabled", "403"):
        return (
            "access denied; the AWS credentials in use need s3:ListBucket and s3:GetObject for it, "
            "and s3:PutObject to push"
        )
    return f"S3 refused with {code or 'an error'}; check the AWS credentials and the region"


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
    if remote is None or remote.is_placeholder:
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
