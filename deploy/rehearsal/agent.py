"""The CodeDeploy agent's part of a deployment, modelled on the source of version 1.8.1.

Modelled
    - order: ApplicationStop, DownloadBundle, BeforeInstall, Install, AfterInstall,
      ApplicationStart, ValidateService; the first failure ends it;
    - the bundle is unpacked into ``deployment-root/<group>/<deployment>/deployment-archive``;
    - ApplicationStop runs the scripts of the revision that was *installed* last on this instance,
      even if later hooks of it failed; on a new instance there is none, and nothing runs;
    - the location of a script is relative to the bundle's root, even if it begins with ``/``. A
      missing script is ScriptMissing, "Script does not exist at specified location";
    - a script that is not executable is made executable, with a warning;
    - a script with ``runas`` is run as ``su USER -c SCRIPT``, so that the user must exist;
    - a script has ``timeout`` seconds (3600 by default). Then its process group gets SIGTERM, and
      the event is ScriptTimedOut. The script's output must be closed by then too: a child process
      that keeps it open fails the hook;
    - environment: LIFECYCLE_EVENT, DEPLOYMENT_ID, APPLICATION_NAME, DEPLOYMENT_GROUP_NAME,
      DEPLOYMENT_GROUP_ID, BUNDLE_BUCKET, BUNDLE_KEY; standard input is closed;
    - Install removes the files of the installation before, and copies the ``files`` section. What
      it does with a file that exists is set by file_exists_behavior, by default DISALLOW;
    - diagnostics: error code, script, message, the last 2,048 characters of the log.

Not modelled: the ``permissions`` section, ``sudo``, bundles from GitHub, deletion of old archives.
"""

import contextlib
import datetime
import io
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, Field, PositiveInt, StringConstraints

from rehearsal.instances import ENVIRONMENT, Instance

EVENTS: Final = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
GROUP_ID: Final = "8f3f0f2a-5a4c-4d0b-9f57-rehearsal000"
_ROOT: Final = "/opt/codedeploy-agent/deployment-root"
_INSTRUCTIONS: Final = f"{_ROOT}/deployment-instructions/{GROUP_ID}"
_LOG_CHARACTERS: Final = 2048

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Script(BaseModel):
    """A script of a hook; ``location`` is relative to the bundle's root."""

    location: _Text
    runas: _Text | None = None
    timeout: PositiveInt = 3600


class Files(BaseModel):
    """An entry of the ``files`` section: a file or folder, and the folder that it goes into."""

    source: _Text
    destination: _Text

    def copies(self, archive: Path) -> dict[Path, PurePosixPath]:
        """Return which files of an unpacked bundle go where.

        A folder's content goes into the destination, a file keeps its name in it.

        Raises
        ------
        FileNotFoundError
            If the source is not in the bundle.
        """
        origin, target = archive / self.source.strip("/"), PurePosixPath(self.destination)
        if origin.is_file():
            return {origin: target / origin.name}
        if not origin.is_dir():
            raise FileNotFoundError(f"No such file or directory: {self.source}")
        return {
            path: target / path.relative_to(origin).as_posix()
            for path in sorted(origin.rglob("*"))
            if not path.is_dir()
        }


class AppSpec(BaseModel):
    """An appspec.yml: what is installed where, and which scripts a lifecycle event runs."""

    version: Annotated[float, Field(ge=0, le=0)]
    os: Literal["linux"]
    files: list[Files] = []
    hooks: dict[str, list[Script]] = {}
    file_exists_behavior: Literal["DISALLOW", "OVERWRITE", "RETAIN"] = "DISALLOW"


class EventError(Exception):
    """A lifecycle event failed; why, in CodeDeploy's terms."""

    def __init__(self, code: str, script: str, message: str, log: str) -> None:
        super().__init__(message)
        self.code, self.script, self.message = code, script, message
        self.log_tail = log[-_LOG_CHARACTERS:]


@dataclass(frozen=True)
class Revision:
    """What is deployed: the deployment's id, application, group, and bundle in S3."""

    deployment: str
    application: str
    group: str
    bucket: str
    key: str


class ScriptLog:
    """The output of an event's scripts: as ``text``, and appended to a file."""

    def __init__(self, path: Path) -> None:
        self._path, self.text = path, ""

    def add(self, text: str, prefix: str = "") -> None:
        """Append lines."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        with self._path.open("a", encoding="utf-8") as log:
            for line in text.splitlines():
                self.text += f"{prefix}{line}\n"
                log.write(f"{now} {prefix}{line}\n")


class Agent:
    """The agent of one instance.

    Parameters
    ----------
    download : returns the content of an S3 object (bucket, key).
    environment : of the agent; scripts inherit it.
    log : file for the output of scripts.
    """

    def __init__(
        self,
        instance: Instance,
        download: Callable[[str, str], bytes],
        environment: dict[str, str],
        log: Path,
    ) -> None:
        self.instance = instance
        self._download, self._environment, self._log = download, environment, log

    def run(self, event: str, revision: Revision) -> bool:
        """Run a lifecycle event; return whether there was something to do.

        Raises
        ------
        EventError
            If it fails.
        """
        home = f"{_ROOT}/{GROUP_ID}/{revision.deployment}"
        if event == "ApplicationStop":
            last = self.instance.path(f"{_INSTRUCTIONS}_last_successful_install")
            if not last.is_file():
                return False
            home = last.read_text(encoding="utf-8")
        log, archive = ScriptLog(self._log), f"{home}/deployment-archive"
        try:
            if event == "DownloadBundle":
                self._unpack(self.instance.path(archive), revision)
                return True
            text = self.instance.path(f"{archive}/appspec.yml").read_text(encoding="utf-8")
            spec = AppSpec.model_validate(yaml.safe_load(text))
            if event == "Install":
                self._install(home, spec)
                return True
            scripts = spec.hooks.get(event, [])
            if scripts:
                log.add(f"LifecycleEvent - {event}")
            for script in scripts:
                self._execute(f"{archive}/", event, script, revision, log)
            return bool(scripts)
        except (tarfile.TarError, yaml.YAMLError, ValueError, OSError) as error:
            message = f"The deployment failed because {error}"
            raise EventError("UnknownError", "", message, log.text) from None

    def _unpack(self, archive: Path, revision: Revision) -> None:
        shutil.rmtree(archive, ignore_errors=True)
        content = io.BytesIO(self._download(revision.bucket, revision.key))
        with tarfile.open(fileobj=content) as bundle:
            # Debian 12's Python 3.11.2 may have no filters yet.
            bundle.extraction_filter = getattr(tarfile, "tar_filter", None)
            bundle.extractall(archive)  # noqa: S202 (the bundle is our own)

    def _install(self, home: str, spec: AppSpec) -> None:
        cleanup = self.instance.path(f"{_INSTRUCTIONS}-cleanup")
        cleanup.parent.mkdir(parents=True, exist_ok=True)
        if cleanup.is_file():
            for line in cleanup.read_text(encoding="utf-8").splitlines():
                self.instance.path(line).unlink(missing_ok=True)
        archive = self.instance.path(f"{home}/deployment-archive")
        installed = []
        for files in spec.files:
            for origin, target in files.copies(archive).items():
                path = self.instance.path(str(target))
                if path.exists() and spec.file_exists_behavior == "DISALLOW":
                    message = f"a specified file already exists at this location: {target}"
                    raise FileExistsError(message)
                if path.exists() and spec.file_exists_behavior == "RETAIN":
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, path)
                installed.append(target)
        cleanup.write_text("".join(f"{target}\n" for target in installed), encoding="utf-8")
        last = self.instance.path(f"{_INSTRUCTIONS}_last_successful_install")
        last.write_text(home, encoding="utf-8")

    def _execute(
        self, archive: str, event: str, script: Script, revision: Revision, log: ScriptLog
    ) -> None:
        inside = archive + script.location.lstrip("/")
        path = self.instance.path(inside)
        log.add(f"Script - {script.location}")

        def failed(code: str, message: str) -> EventError:
            return EventError(code, script.location, message, log.text)

        if not path.is_file():
            message = f"Script does not exist at specified location: {script.location}"
            raise failed("ScriptMissing", message)
        where = f"Script at specified location: {script.location}"
        if not os.access(path, os.X_OK):
            log.add(f"{where} is not executable.")
            path.chmod(path.stat().st_mode | 0o111)
        words = ["su", script.runas, "-c", shlex.quote(inside)] if script.runas else [inside]
        environment = {
            **ENVIRONMENT,
            **self._environment,
            "LIFECYCLE_EVENT": event,
            "DEPLOYMENT_ID": revision.deployment,
            "APPLICATION_NAME": revision.application,
            "DEPLOYMENT_GROUP_NAME": revision.group,
            "DEPLOYMENT_GROUP_ID": GROUP_ID,
            "BUNDLE_BUCKET": revision.bucket,
            "BUNDLE_KEY": revision.key,
        }
        try:
            code = run_script(self.instance.command(words), environment, script.timeout, log)
        except TimeoutError as error:
            kind = "UnknownError" if "close" in str(error) else "ScriptTimedOut"
            raise failed(kind, f"{where} {error}") from None
        if code != 0:
            user = f" run as user {script.runas}" if script.runas else ""
            raise failed("ScriptFailed", f"{where}{user} failed with exit code {code}")


def run_script(
    words: list[str], environment: dict[str, str], seconds: float, log: ScriptLog
) -> int:
    """Run a script as the agent does; return its exit code.

    Raises
    ------
    TimeoutError
        If the script takes longer (its process group got SIGTERM), or a child of it keeps the
        output open for longer.
    """
    problem = ""
    with subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as process:
        try:
            said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b"", error.stderr or b""
            problem = "failed to close STDOUT or STDERR"
            if process.poll() is None:
                problem = f"failed to complete in {seconds:.0f} seconds"
                os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()
    for name, text in zip(("stdout", "stderr"), said, strict=True):
        log.add(text.decode(errors="replace"), f"[{name}]")
    if problem:
        raise TimeoutError(problem)
    return process.returncode
