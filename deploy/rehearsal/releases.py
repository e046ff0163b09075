"""Images and bundles, made by the scripts of ``deploy``; broken images, made from good ones."""

import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

from rehearsal.aws import BUCKET, ENVIRONMENT, NAME, Aws, download
from rehearsal.instances import IMAGE_REGISTRY
from rehearsal.model_registry import URL
from rehearsal.processes import GATEWAY, PROJECT, Options, RehearsalError, run

BROKEN: Final = {
    "unhealthy": 'ENTRYPOINT ["python3", "-c", "import signal as s; '
    's.signal(s.SIGTERM, lambda *_: exit()); s.pause()"]',
    "wrong-port": 'CMD ["serve", "--port", "9000"]',
}
"""What is wrong with an image → the last line of its Dockerfile."""
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_QUICK_HEALTH_SECONDS: Final = 15


class Releases:
    """Makes images, with a container store of its own that is kept, and bundles; deploys them."""

    def __init__(self, options: Options, aws: Aws) -> None:
        self._options, self._aws = options, aws
        self._log, self._source = options.logs / "release.log", options.run / "bundle"
        storage = options.run / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{options.run / "building"}"\n'
            f'graphroot = "{options.work / "layers"}"\n',
            encoding="utf-8",
        )
        self._environment = {
            **os.environ,
            **ENVIRONMENT,
            "CONTAINERS_CONF": str(options.machine / "etc/containers/containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(options.machine / "etc/containers/registries.conf"),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "REGISTRY_AUTH_FILE": str(options.private / "login.json"),
            "PATH": f"{options.tools / 'bin'}:{os.environ['PATH']}",
            "NO_PROXY": os.environ.get("NO_PROXY", "") + f",{GATEWAY}",
            "IMAGE_REPOSITORY": f"{IMAGE_REGISTRY}/{NAME}",
            "BUNDLE_BUCKET": BUCKET,
            "CODEDEPLOY_APPLICATION": NAME,
            "CODEDEPLOY_GROUP": NAME,
            "MLFLOW_TRACKING_URI": URL,
            "POLL_SECONDS": "1",
            # Root runs git here, whoever owns the project's folder.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }

    def build(self) -> str:
        """Build, push and scan the image with deploy/release.sh; return it by digest."""
        words: list[str | Path] = [
            *(PROJECT / "deploy" / "release.sh", "--allow-dirty", "--"),
            *("--isolation", "chroot", "--network", "host", "--pull=never"),
            *("--build-arg", f"BASE={self._base()}"),
            # pip in the build reaches the package index as pip here does.
            *("--volume", f"{self._options.work / 'pip.conf'}:/etc/pip.conf:ro"),
            *("--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"),
        ]
        printed = self._build(words, seconds=900)
        if len(printed.split()) != 1:
            raise RehearsalError(
                f"deploy/release.sh did not print one image but {printed!r}; see {self._log}"
            )
        login = ["podman", "login", "--username", self._aws.user, "--password-stdin"]
        self._build([*login, IMAGE_REGISTRY], given=self._aws.password)
        return printed.strip()

    def break_image(self, image: str, kind: str) -> str:
        """Push an image that differs from a good one in its command alone; return it by digest."""
        name = f"{image.partition('@')[0]}:{kind}"
        folder = self._options.run / kind
        folder.mkdir()
        number = self._build(["podman", "pull", "--quiet", image]).strip()
        dockerfile = f"FROM {number}\n{BROKEN[kind]}\n"
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        build = ["podman", "build", "--format", "docker", "--isolation", "chroot"]
        self._build([*build, "--tag", name, folder])
        self._build(["podman", "push", "--quiet", "--digestfile", folder / "digest", name])
        digest = (folder / "digest").read_text(encoding="ascii").strip()
        return f"{image.partition('@')[0]}@{digest}"

    def bundle(self, image: str, model_version: int, release: str) -> str:
        """Make a bundle with deploy/bundle.sh, put it into S3 and keep it; return its address."""
        if not self._source.exists():
            self._copy_sources()
        script = self._source / "deploy" / "bundle.sh"
        words: list[Any] = [script, "--image", image, "--model-version", str(model_version)]
        log = self._options.logs / "bundle.log"
        address = run(words, log, seconds=60, environment=self._environment).stdout.strip()
        bucket, _, key = address.removeprefix("s3://").partition("/")
        kept = self._options.run / "bundles"
        kept.mkdir(exist_ok=True)
        (kept / f"{release}.tgz").write_bytes(download(bucket, key))
        return address

    def roll_out(self, address: str, log: Path, seconds: float) -> int:
        """Deploy a bundle with deploy/rollout.sh; return its exit code."""
        words: list[Any] = [PROJECT / "deploy" / "rollout.sh", address]
        told = {**self._environment, "ROLLOUT_SECONDS": f"{seconds:.0f}"}
        return run(words, log, seconds=seconds + 60, environment=told, check=False).returncode

    def _build(self, words: list[Any], *, seconds: float = 120, **more: Any) -> str:
        return run(words, self._log, seconds=seconds, environment=self._environment, **more).stdout

    def _base(self) -> str:
        """Return the Dockerfile's base image, made of Debian's packages by deploy/rehearse."""
        dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
        (name,) = re.findall(r"^ARG BASE=(\S+)$", dockerfile, re.MULTILINE)
        exists = ["podman", "image", "exists", name]
        if run(
            exists, self._log, seconds=30, environment=self._environment, check=False
        ).returncode:
            (archive,) = self._options.work.glob("base-*.tar")
            self._build(["podman", "import", archive, name], seconds=180)
        return str(name)

    def _copy_sources(self) -> None:
        """Copy the files of a bundle, so that this run's settings can be added to the copy."""
        left_out = shutil.ignore_patterns("rehearsal", "locks", "__pycache__")
        shutil.copytree(PROJECT / "deploy", self._source / "deploy", ignore=left_out)
        shutil.copy2(PROJECT / "appspec.yml", self._source)
        if self._options.is_quick:
            settings = self._source / "deploy" / "service.env"
            text = settings.read_text(encoding="utf-8")
            text = re.sub(r"^HEALTH_SECONDS=.*\n", "", text, flags=re.MULTILINE)
            settings.write_text(f"{text}HEALTH_SECONDS={_QUICK_HEALTH_SECONDS}\n", encoding="utf-8")
