"""The CodeDeploy agent's part of a deployment, modelled on the source of version 1.8.1.

Modelled
    - order: ApplicationStop, DownloadBundle, BeforeInstall, Install, AfterInstall,
      ApplicationStart, ValidateService; the first failure ends it;
    - the bundle is unpacked into ``deployment-root/<group>/<deployment>/deployment-archive``;
    - ApplicationStop runs the scripts of the revision that was *installed* last on this instance,
      even if later hooks of it failed; on a new instance there is none, and nothing runs;
    - the location of a script is relative to the bundle's root, even if it begins with ``/``. A
      missing script is ScriptMissing, "Script does not exist at specified location";
    - a script with ``runas`` is run as ``su USER -c SCRIPT``, so that the user must exist;
    - a script has ``timeout`` seconds (3600 by default). Then its process group gets SIGTERM, and
      the event is ScriptTimedOut. The script's output must be closed by then too: a child process
      that keeps it open fails the hook;
    - environment: LIFECYCLE_EVENT, DEPLOYMENT_ID, APPLICATION_NAME, DEPLOYMENT_GROUP_NAME,
      DEPLOYMENT_GROUP_ID, BUNDLE_BUCKET, BUNDLE_KEY; standard input is closed;
    - Install removes the files of the installation before, and copies the ``files`` section;
    - diagnostics: error code, script, message, the last 2,048 characters of the log.

Not modelled, for ``appspec.yml`` has none of it: files that are not in a folder, ``permissions``, a
``file_exists_behavior`` but OVERWRITE, scripts that are not executable. docs/rehearsal.md tells how
the real agent runs the same bundle.
"""

import datetime
import io
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

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
_GRACE_SECONDS: Final = 3
_TIMED_OUT: Final = (124, 137)  # of the program timeout


class EventError(Exception):
    """A lifecycle event failed; why, in CodeDeploy's terms."""

    def __init__(self, code: str, script: str, message: str, log: str) -> None:
        super().__init__(message)
        self.code, self.script, self.message = code, script, message
        self.log_tail = log[-_LOG_CHARACTERS:]

    @property
    def diagnostics(self) -> dict[str, str]:
        """It as the API shows it."""
        return {
            "errorCode": self.code,
            "scriptName": self.script,
            "message": self.message,
            "logTail": self.log_tail,
        }


@dataclass(frozen=True)
class Revision:
    """What is deployed: the deployment's id, application, group, and bundle in S3."""

    deployment: str
    application: str
    group: str
    bucket: str
    key: str


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
        self._said = ""  # by the scripts of the event that runs

    def run(self, event: str, revision: Revision) -> bool:
        """Run a lifecycle event; return whether there was something to do.

        Raises
        ------
        EventError
            If it fails.
        """
        home, self._said = f"{_ROOT}/{GROUP_ID}/{revision.deployment}", ""
        if event == "ApplicationStop":
            last = self.instance.path(f"{_INSTRUCTIONS}_last_successful_install")
            if not last.is_file():
                return False
            home = last.read_text(encoding="utf-8")
        archive = f"{home}/deployment-archive"
        try:
            if event == "DownloadBundle":
                self._unpack(self.instance.path(archive), revision)
                return True
            text = self.instance.path(f"{archive}/appspec.yml").read_text(encoding="utf-8")
            spec = yaml.safe_load(text)
            if event == "Install":
                self._install(home, spec)
                return True
            scripts = spec.get("hooks", {}).get(event, [])
            for number, script in enumerate(scripts):
                if number == 0:
                    self._note(f"LifecycleEvent - {event}")
                self._execute(archive, event, script, revision)
            return bool(scripts)
        except (tarfile.TarError, yaml.YAMLError, LookupError, ValueError, OSError) as error:
            message = f"The deployment failed because {error}"
            raise EventError("UnknownError", "", message, self._said) from None

    def _unpack(self, archive: Path, revision: Revision) -> None:
        shutil.rmtree(archive, ignore_errors=True)
        content = io.BytesIO(self._download(revision.bucket, revision.key))
        with tarfile.open(fileobj=content) as bundle:
            # Debian 12's Python 3.11.2 may have no filters yet.
            bundle.extraction_filter = getattr(tarfile, "tar_filter", None)
            bundle.extractall(archive)  # noqa: S202 (the bundle is our own)

    def _install(self, home: str, spec: dict[str, Any]) -> None:
        if (behavior := spec.get("file_exists_behavior")) != "OVERWRITE":
            raise ValueError(
                f"the rehearsal knows no file_exists_behavior but OVERWRITE: {behavior}"
            )
        cleanup = self.instance.path(f"{_INSTRUCTIONS}-cleanup")
        cleanup.parent.mkdir(parents=True, exist_ok=True)
        if cleanup.is_file():
            for line in cleanup.read_text(encoding="utf-8").splitlines():
                self.instance.path(line).unlink(missing_ok=True)
        installed = []
        for files in spec.get("files", []):
            origin = self.instance.path(f"{home}/deployment-archive/{files['source'].strip('/')}")
            if not origin.is_dir():
                raise FileNotFoundError(f"No such folder: {files['source']}")
            target = PurePosixPath(files["destination"])
            shutil.copytree(origin, self.instance.path(str(target)), dirs_exist_ok=True)
            found = (path for path in origin.rglob("*") if not path.is_dir())
            installed += [target / path.relative_to(origin).as_posix() for path in found]
        cleanup.write_text("".join(f"{path}\n" for path in installed), encoding="utf-8")
        last = self.instance.path(f"{_INSTRUCTIONS}_last_successful_install")
        last.write_text(home, encoding="utf-8")

    def _execute(
        self, archive: str, event: str, script: dict[str, Any], revision: Revision
    ) -> None:
        location, user, seconds = (
            script["location"],
            script.get("runas"),
            script.get("timeout", 3600),
        )
        inside = f"{archive}/{location.lstrip('/')}"
        where = f"Script at specified location: {location}"
        self._note(f"Script - {location}")

        def failed(code: str, message: str) -> EventError:
            return EventError(code, location, message, self._said)

        if not self.instance.path(inside).is_file():
            message = f"Script does not exist at specified location: {location}"
            raise failed("ScriptMissing", message)
        words = ["su", user, "-c", shlex.quote(inside)] if user else [inside]
        command = self.instance.command(words)
        try:
            done = subprocess.run(
                ["timeout", f"--kill-after={_GRACE_SECONDS}", str(seconds), *command],
                env={
                    **ENVIRONMENT,
                    **self._environment,
                    "LIFECYCLE_EVENT": event,
                    "DEPLOYMENT_ID": revision.deployment,
                    "APPLICATION_NAME": revision.application,
                    "DEPLOYMENT_GROUP_NAME": revision.group,
                    "DEPLOYMENT_GROUP_ID": GROUP_ID,
                    "BUNDLE_BUCKET": revision.bucket,
                    "BUNDLE_KEY": revision.key,
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds + 2 * _GRACE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            self._note(error.stdout, "[stdout]")
            self._note(error.stderr, "[stderr]")
            raise failed("UnknownError", f"{where} failed to close STDOUT or STDERR") from None
        self._note(done.stdout, "[stdout]")
        self._note(done.stderr, "[stderr]")
        if done.returncode in _TIMED_OUT:
            message = f"{where} failed to complete in {seconds} seconds"
            raise failed("ScriptTimedOut", message)
        if done.returncode:
            as_user = f" run as user {user}" if user else ""
            message = f"{where}{as_user} failed with exit code {done.returncode}"
            raise failed("ScriptFailed", message)

    def _note(self, text: str | bytes | None, prefix: str = "") -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        said = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
        with self._log.open("a", encoding="utf-8") as log:
            for line in said.splitlines():
                self._said += f"{prefix}{line}\n"
                log.write(f"{now} {prefix}{line}\n")
