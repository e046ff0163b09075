"""Images and bundles, made by the scripts that a person uses; broken images, made by hand."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rehearsal.aws import APPLICATION, BUCKET, GROUP, REPOSITORY, Aws
from rehearsal.image_registry import USER
from rehearsal.instances import AGENT_PATH, Instance
from rehearsal.options import REGION, Options
from rehearsal.processes import RehearsalError, run

BROKEN: Final = {
    "unhealthy": 'ENTRYPOINT ["python3", "-c", "import signal as s; '
    's.signal(s.SIGTERM, lambda *_: exit()); s.pause()"]',
    "wrong-port": 'CMD ["serve", "--port", "9000"]',
}
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy")
_PIP: Final = ("cert", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host")
_PIP_LINE: Final = re.compile(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'")
_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def pip_settings(listed: str) -> str:
    r"""Return a pip.conf of what ``pip config list`` shows about reaching the package index.

    Examples
    --------
    >>> pip_settings("global.index-url='https://x/simple'\nglobal.find-links='/y'\n")
    '[global]\nindex-url = https://x/simple\n'
    """
    found = {match[1]: match[2] for match in _PIP_LINE.finditer(listed)}
    lines = [f"{key} = {value}\n" for key, value in found.items() if key in _PIP]
    return "".join(["[global]\n", *lines])


def secret_places(service_env: str) -> dict[str, str]:
    r"""Return where each secret of the service is kept in the Parameter Store.

    Examples
    --------
    >>> secret_places("PORT=8000\nSECRET_MLFLOW_TRACKING_PASSWORD=ssm:/carprice/p\n")
    {'MLFLOW_TRACKING_PASSWORD': '/carprice/p'}
    """
    return dict(re.findall(r"^SECRET_(\w+)=ssm:(\S+)$", service_env, re.MULTILINE))


class Releases:
    """Makes images in the builder, and bundles; deploys them."""

    def __init__(
        self, options: Options, builder: Instance, aws: Aws, environment: Mapping[str, str]
    ) -> None:
        self._options, self._builder, self._aws = options, builder, aws
        path = f"{options.tools / 'bin'}:{os.environ.get('PATH', AGENT_PATH)}"
        self._environment = {
            **os.environ,
            **aws.environment,
            "PATH": path,
            "AWS_REGION": REGION,
            "BUNDLE_BUCKET": BUCKET,
            "CODEDEPLOY_APPLICATION": APPLICATION,
            "CODEDEPLOY_GROUP": GROUP,
            "POLL_SECONDS": "1",
            **environment,
        }
        self._source = options.run / "bundle"

    def build(self) -> str:
        """Build, push and scan the image with deploy/release.sh; return it by digest."""
        words = [
            *(str(self._options.project / "deploy" / "release.sh"), "--allow-dirty", "--"),
            *("--isolation", "chroot", "--network", "host", "--pull=never"),
            *self._volumes(),
        ]
        environment = {
            **{name: value for name, value in os.environ.items() if name.lower() in _PROXIES},
            **self._aws.environment,
            "NO_PROXY": os.environ.get("NO_PROXY", "") + f",{self._options.gateway}",
            "AWS_REGION": REGION,
            "IMAGE_REPOSITORY": f"{self._options.image_registry}/{REPOSITORY}",
            # Whoever owns the project's folder: this is root.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        log = self._options.logs / "release.log"
        _, said = self._builder.run(words, seconds=900, environment=environment, log=log)
        lines = said.split()
        if len(lines) != 1:
            raise RehearsalError(
                f"deploy/release.sh did not print one image but {said!r}; see {log}"
            )
        return lines[0]

    def log_in(self, password: str) -> None:
        """Log the builder in to the image registry."""
        log = self._options.logs / "release.log"
        words = ["podman", "login", "--username", USER, "--password-stdin"]
        command = self._builder.command([*words, self._options.image_registry])
        told = {"PATH": AGENT_PATH, "HOME": "/root"}
        run(command, log, seconds=30, environment=told, given=password)

    def break_image(self, image: str, image_id: str, kind: str) -> str:
        """Push an image that differs from a good one in its command alone; return it by digest."""
        log, tag = self._options.logs / "release.log", f"{image.partition('@')[0]}:{kind}"
        recipe = self._builder.path(f"/var/tmp/{kind}")  # noqa: S108 - the instance's own
        recipe.write_text(f"FROM {image_id}\n{BROKEN[kind]}\n", encoding="utf-8")
        digest = self._builder.path("/var/tmp/digest")  # noqa: S108
        build = ["podman", "build", "--format", "docker", "--isolation", "chroot", "--tag", tag]
        where = ["--file", f"/var/tmp/{kind}", "/usr/share/empty"]  # noqa: S108
        self._builder.path("/usr/share/empty").mkdir(parents=True, exist_ok=True)
        self._builder.run([*build, *where], seconds=120, log=log)
        push = ["podman", "push", "--quiet", "--digestfile", "/var/tmp/digest", tag]  # noqa: S108
        self._builder.run(push, seconds=120, log=log)
        return f"{image.partition('@')[0]}@{digest.read_text(encoding='ascii').strip()}"

    def bundle(self, image: str, model_version: int) -> str:
        """Make a bundle with deploy/bundle.sh and put it into S3; return its address."""
        if not self._source.exists():
            self._copy_sources()
        words = [self._source / "deploy" / "bundle.sh", "--image", image]
        given = [*map(str, words), "--model-version", str(model_version)]
        log = self._options.logs / "bundle.log"
        _, said = run(given, log, seconds=60, environment=self._environment, folder=self._source)
        return said.strip()

    def roll_out(self, address: str, log: Path, seconds: float) -> int:
        """Deploy a bundle with deploy/rollout.sh; return its exit code."""
        words = [str(self._options.project / "deploy" / "rollout.sh"), address]
        environment = {**self._environment, "ROLLOUT_SECONDS": f"{seconds:.0f}"}
        given = {"environment": environment, "allowed": range(256)}
        code, _ = run(words, log, seconds=seconds + 60, **given)  # type: ignore[arg-type]
        return code

    def _copy_sources(self) -> None:
        """Copy what goes into a bundle, so that this run's settings can be added."""
        left_out = shutil.ignore_patterns("rehearsal", "locks", "__pycache__")
        shutil.copytree(self._options.project / "deploy", self._source / "deploy", ignore=left_out)
        shutil.copy2(self._options.project / "appspec.yml", self._source)
        if self._options.health_seconds is None:
            return
        settings = self._source / "deploy" / "service.env"
        lines = settings.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if not line.startswith("HEALTH_SECONDS=")]
        kept.append(f"HEALTH_SECONDS={self._options.health_seconds}")
        settings.write_text("\n".join(kept) + "\n", encoding="utf-8")

    def _volumes(self) -> list[str]:
        """Let pip in the build reach the package index as it does here."""
        log = self._options.logs / "release.log"
        _, listed = run([sys.executable, "-m", "pip", "config", "list"], log, seconds=60)
        inside = "/etc/pip-of-the-rehearsal.conf"
        self._builder.path(inside).write_text(pip_settings(listed), encoding="utf-8")
        volumes = ["--volume", f"{inside}:/etc/pip.conf:ro"]
        if _AUTHORITIES.is_file():
            volumes += ["--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"]
        return volumes
