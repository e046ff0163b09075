"""The CodeDeploy agent's part of a deployment, after the source of version 1.8.1.

Modelled
    - order: ApplicationStop, DownloadBundle, BeforeInstall, Install, AfterInstall,
      ApplicationStart, ValidateService; the first failure ends it;
    - the bundle is unpacked into ``deployment-root/<group>/<deployment>/deployment-archive``;
    - ApplicationStop runs the scripts of the revision that was *installed* last on this instance,
      be it that its later hooks failed; on a new instance there is none, and nothing runs;
    - locations are relative to the bundle's root, also those that begin with ``/``: what is not
      there is ScriptMissing, "Script does not exist at specified location";
    - what is not executable is made so, with a warning;
    - ``runas`` is run by ``su USER -c SCRIPT``, so that the user must be there;
    - a script has ``timeout`` seconds (3600 if not told); then its process group gets SIGTERM and
      the event is ScriptTimedOut. Its output must be closed by then too: a child that keeps it
      open fails the hook;
    - environment: LIFECYCLE_EVENT, DEPLOYMENT_ID, APPLICATION_NAME, DEPLOYMENT_GROUP_NAME,
      DEPLOYMENT_GROUP_ID, BUNDLE_BUCKET, BUNDLE_KEY; standard input is closed;
    - Install removes what the installation before put there, copies the ``files`` section, and
      minds file_exists_behavior (the file's, else the deployment's, else DISALLOW);
    - diagnostics: error code, script, message, the last 2,048 characters of the log.

Not modelled: the ``permissions`` section, ``sudo``, bundles from GitHub, deletion of old archives.
"""

import contextlib
import datetime
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from rehearsal.appspec import AppSpec, AppSpecError, Script, copies, parse
from rehearsal.instances import AGENT_PATH, Instance

EVENTS: Final = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
ROOT: Final = "/opt/codedeploy-agent/deployment-root"
_LOG_CHARACTERS: Final = 2048


@dataclass(frozen=True)
class Diagnostics:
    """Why a lifecycle event failed, in CodeDeploy's terms."""

    error_code: str
    script: str
    message: str
    log_tail: str

    def to_json(self) -> dict[str, str]:
        """Return it as the API shows it."""
        return {
            "errorCode": self.error_code,
            "scriptName": self.script,
            "message": self.message,
            "logTail": self.log_tail,
        }


class EventError(Exception):
    """A lifecycle event failed."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        super().__init__(diagnostics.message)
        self.diagnostics = diagnostics


@dataclass(frozen=True)
class Revision:
    """What is deployed: a deployment's number, names, and bundle."""

    deployment: str
    application: str
    group: str
    group_id: str
    bucket: str
    key: str
    file_exists_behavior: str = "DISALLOW"


class ScriptLog:
    """What the scripts of an event say: in the instance's file, and its end."""

    def __init__(self, path: Path, copy: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._paths = (path, copy)
        self._text = ""
        self._guard = threading.Lock()

    def add(self, text: str) -> None:
        """Append some lines."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        with self._guard:
            self._text += text
            for path in self._paths:
                with path.open("a", encoding="utf-8") as log:
                    log.write(f"{now} {text}")

    @property
    def tail(self) -> str:
        """The end, as much as diagnostics hold."""
        return self._text[-_LOG_CHARACTERS:]


class Agent:
    """The agent of one instance.

    Parameters
    ----------
    download : writes an object of S3 (bucket, key) to a file.
    environment : of the agent, which scripts inherit.
    copy : file that also gets what scripts say.
    """

    def __init__(
        self,
        instance: Instance,
        download: Callable[[str, str, Path], None],
        environment: dict[str, str],
        copy: Path,
    ) -> None:
        self.instance = instance
        self._download, self._environment, self._copy = download, environment, copy

    def run(self, event: str, revision: Revision) -> bool:
        """Run a lifecycle event; return whether there was something to do.

        Raises
        ------
        EventError
            If it fails.
        """
        home = f"{ROOT}/{revision.group_id}/{revision.deployment}"
        if event == "ApplicationStop":
            home = self._installed_last(revision.group_id)
            if not home:
                return False
        log = ScriptLog(self.instance.path(f"{home}/logs/scripts.log"), self._copy)
        try:
            if event == "DownloadBundle":
                self._unpack(home, revision)
                return True
            spec = self._spec(home)
            if event == "Install":
                self._install(home, spec, revision)
                return True
            scripts = spec.hooks.get(event, ())
            if scripts:
                log.add(f"LifecycleEvent - {event}\n")
            for script in scripts:
                self._execute(home, event, script, revision, log)
            return bool(scripts)
        except (AppSpecError, OSError) as error:
            message = f"The deployment failed because {error}"
            raise EventError(Diagnostics("UnknownError", "", message, log.tail)) from None

    def _installed_last(self, group: str) -> str:
        path = self.instance.path(f"{ROOT}/deployment-instructions/{group}_last_successful_install")
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""

    def _spec(self, home: str) -> AppSpec:
        path = self.instance.path(f"{home}/deployment-archive/appspec.yml")
        return parse(path.read_text(encoding="utf-8"))

    def _unpack(self, home: str, revision: Revision) -> None:
        archive = self.instance.path(f"{home}/deployment-archive")
        shutil.rmtree(archive, ignore_errors=True)
        archive.mkdir(parents=True)
        bundle = self.instance.path(f"{home}/bundle.tar")
        self._download(revision.bucket, revision.key, bundle)
        command = ["tar", "-zxpsf", str(bundle), "-C", str(archive)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"Error extracting tar archive: {done.returncode} {done.stderr}")

    def _install(self, home: str, spec: AppSpec, revision: Revision) -> None:
        behavior = spec.file_exists_behavior or revision.file_exists_behavior
        instructions = self.instance.path(f"{ROOT}/deployment-instructions")
        instructions.mkdir(parents=True, exist_ok=True)
        cleanup = instructions / f"{revision.group_id}-cleanup"
        if cleanup.is_file():
            for line in cleanup.read_text(encoding="utf-8").splitlines():
                self.instance.path(line).unlink(missing_ok=True)
        archive = self.instance.path(f"{home}/deployment-archive")
        installed: list[PurePosixPath] = []
        for source, destination in spec.files:
            for origin, target in copies(archive, source, destination).items():
                path = self.instance.path(str(target))
                if path.exists() and behavior == "DISALLOW":
                    raise AppSpecError(
                        f"a specified file already exists at this location: {target}"
                    )
                if path.exists() and behavior == "RETAIN":
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, path)
                installed.append(target)
        cleanup.write_text("".join(f"{target}\n" for target in installed), encoding="utf-8")
        last = instructions / f"{revision.group_id}_last_successful_install"
        last.write_text(home, encoding="utf-8")

    def _execute(
        self, home: str, event: str, script: Script, revision: Revision, log: ScriptLog
    ) -> None:
        inside = f"{home}/deployment-archive/{script.location.lstrip('/')}"
        path = self.instance.path(inside)
        log.add(f"Script - {script.location}\n")

        def failed(code: str, message: str) -> EventError:
            return EventError(Diagnostics(code, script.location, message, log.tail))

        if not path.is_file():
            raise failed(
                "ScriptMissing", f"Script does not exist at specified location: {script.location}"
            )
        if not os.access(path, os.X_OK):
            log.add(f"Script at specified location: {script.location} is not executable.\n")
            path.chmod(path.stat().st_mode | 0o111)
        words = ["su", script.runas, "-c", shlex.quote(inside)] if script.runas else [inside]
        environment = {
            "PATH": AGENT_PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **self._environment,
            "LIFECYCLE_EVENT": event,
            "DEPLOYMENT_ID": revision.deployment,
            "APPLICATION_NAME": revision.application,
            "DEPLOYMENT_GROUP_NAME": revision.group,
            "DEPLOYMENT_GROUP_ID": revision.group_id,
            "BUNDLE_BUCKET": revision.bucket,
            "BUNDLE_KEY": revision.key,
        }
        try:
            code = run_script(self.instance.command(words), environment, script.seconds, log.add)
        except TimeoutError as error:
            where = f"Script at specified location: {script.location} {error}"
            kind = "UnknownError" if "close" in str(error) else "ScriptTimedOut"
            raise failed(kind, where) from None
        if code != 0:
            user = f" run as user {script.runas}" if script.runas else ""
            raise failed(
                "ScriptFailed",
                f"Script at specified location: {script.location}{user} failed with exit code "
                f"{code}",
            )


def run_script(
    words: list[str], environment: dict[str, str], seconds: float, tell: Callable[[str], None]
) -> int:
    """Run a script as the agent does; return its exit code.

    Raises
    ------
    TimeoutError
        If it, or a child that holds its output, goes on for longer; its process group got SIGTERM.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
    )
    readers = {
        name: threading.Thread(target=_read, args=(stream, f"[{name}]", tell), daemon=True)
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
    }
    for reader in readers.values():
        reader.start()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        raise TimeoutError(f"failed to complete in {seconds:.0f} seconds") from None
    for name, reader in readers.items():
        reader.join(max(0.0, deadline - time.monotonic()))
        if reader.is_alive():
            raise TimeoutError(f"failed to close {name.upper()}")
    return process.returncode


def _read(stream: IO[str], prefix: str, tell: Callable[[str], None]) -> None:
    with contextlib.suppress(ValueError), stream:
        for line in stream:
            tell(prefix + line.rstrip("\n") + "\n")
