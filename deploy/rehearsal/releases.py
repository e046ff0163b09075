"""Images and bundles, made by the scripts of ``deploy``; broken images, made from good ones."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from rehearsal.aws import APPLICATION, BUCKET, ENVIRONMENT, GROUP, REPOSITORY, Aws
from rehearsal.instances import Instance
from rehearsal.model_registry import URL
from rehearsal.options import GATEWAY, IMAGE_REGISTRY, PROJECT, REGION, Options
from rehearsal.processes import RehearsalError, run, say

BROKEN: Final = {
    "unhealthy": 'ENTRYPOINT ["python3", "-c", "import signal as s; '
    's.signal(s.SIGTERM, lambda *_: exit()); s.pause()"]',
    "wrong-port": 'CMD ["serve", "--port", "9000"]',
}
"""What is wrong with an image → the last line of its Dockerfile."""
_PACKAGES: Final = "python3,python3-venv,python3-pip,ca-certificates"
_NOT_IN_BASE: Final = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
    *("var/cache/apt", "var/lib/apt/lists", "var/log"),
)
_PIP: Final = ("cert", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host")
_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def base_name(dockerfile: str) -> tuple[str, str]:
    """Return the base image that a Dockerfile names, and the Debian release in its tag.

    Raises
    ------
    RehearsalError
        If there is none.
    """
    found = re.search(r"^ARG BASE=(\S+:\S*-([a-z]+))$", dockerfile, re.MULTILINE)
    if found is None:
        raise RehearsalError(
            "the Dockerfile needs a line ARG BASE=<image>:<version>-slim-<Debian release>"
        )
    return found[1], found[2]


def pip_settings(listed: str) -> str:
    """Return a pip.conf with the lines of ``pip config list`` on reaching the package index."""
    found = dict(re.findall(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'", listed))
    return "".join(
        ["[global]\n", *(f"{key} = {value}\n" for key, value in found.items() if key in _PIP)]
    )


class Releases:
    """Makes images in the builder, and bundles; deploys them."""

    def __init__(self, options: Options, builder: Instance, aws: Aws) -> None:
        self._options, self._builder, self._aws = options, builder, aws
        self._log = options.logs / "release.log"
        self._source = options.run / "bundle"
        self._environment = {
            **os.environ,
            **ENVIRONMENT,
            "PATH": f"{options.tools / 'bin'}:{os.environ['PATH']}",
            "AWS_REGION": REGION,
            "BUNDLE_BUCKET": BUCKET,
            "CODEDEPLOY_APPLICATION": APPLICATION,
            "CODEDEPLOY_GROUP": GROUP,
            "MLFLOW_TRACKING_URI": URL,
            "POLL_SECONDS": "1",
        }

    def build(self) -> str:
        """Build, push and scan the image with deploy/release.sh; return it by digest."""
        base = self._ensure_base()
        words = [
            *(str(PROJECT / "deploy" / "release.sh"), "--allow-dirty", "--"),
            *("--isolation", "chroot", "--network", "host", "--pull=never"),
            *("--build-arg", f"BASE={base}"),
            *self._pip_volumes(),
        ]
        proxies = {
            name: text for name, text in os.environ.items() if name.lower().endswith("_proxy")
        }
        environment = {
            **proxies,
            **ENVIRONMENT,
            "NO_PROXY": os.environ.get("NO_PROXY", "") + f",{GATEWAY}",
            "AWS_REGION": REGION,
            "IMAGE_REPOSITORY": f"{IMAGE_REGISTRY}/{REPOSITORY}",
            # Root runs git here, whoever owns the project's folder.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = self._builder.run(words, log=self._log, seconds=900, environment=environment)
        lines = done.stdout.split()
        if len(lines) != 1:
            raise RehearsalError(
                f"deploy/release.sh did not print one image but {done.stdout!r}; see {self._log}"
            )
        login = [
            "podman",
            "login",
            "--username",
            self._aws.user,
            "--password-stdin",
            IMAGE_REGISTRY,
        ]
        self._builder.run(login, log=self._log, seconds=30, given=self._aws.password)
        return lines[0]

    def break_image(self, image: str, kind: str) -> str:
        """Push an image that differs from a good one in its command alone; return it by digest."""
        name = image.partition("@")[0]
        folder = "/var/tmp/broken"  # noqa: S108 - the instance's own
        inside = self._builder.path(folder)
        inside.mkdir(exist_ok=True)
        dockerfile = f"FROM {self._aws.image_id(image)}\n{BROKEN[kind]}\n"
        (inside / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        build = ["podman", "build", "--format", "docker", "--isolation", "chroot"]
        self._builder.run([*build, "--tag", f"{name}:{kind}", folder], log=self._log, seconds=120)
        push = ["podman", "push", "--quiet", "--digestfile", f"{folder}/digest", f"{name}:{kind}"]
        self._builder.run(push, log=self._log, seconds=120)
        return f"{name}@{(inside / 'digest').read_text(encoding='ascii').strip()}"

    def bundle(self, image: str, model_version: int) -> str:
        """Make a bundle with deploy/bundle.sh and put it into S3; return its address."""
        if not self._source.exists():
            self._copy_sources()
        script = str(self._source / "deploy" / "bundle.sh")
        done = run(
            [script, "--image", image, "--model-version", str(model_version)],
            self._options.logs / "bundle.log",
            seconds=60,
            environment=self._environment,
            folder=self._source,
        )
        return done.stdout.strip()

    def roll_out(self, address: str, log: Path, seconds: float) -> int:
        """Deploy a bundle with deploy/rollout.sh; return its exit code."""
        words = [str(PROJECT / "deploy" / "rollout.sh"), address]
        environment = {**self._environment, "ROLLOUT_SECONDS": f"{seconds:.0f}"}
        return run(
            words, log, seconds=seconds + 60, environment=environment, check=False
        ).returncode

    def _ensure_base(self) -> str:
        """Make the Dockerfile's base image from Debian's packages, unless it is there; return it.

        It stands in for the public image of that name, so that no public registry is needed.
        """
        name, suite = base_name((PROJECT / "Dockerfile").read_text(encoding="utf-8"))
        exists = ["podman", "image", "exists", name]
        if self._builder.run(exists, seconds=30, check=False).returncode == 0:
            return name
        archive = self._options.work / f"base-{suite}.tar"
        if not archive.is_file():
            say(f"Making {name} of Debian's packages, once")
            self._make_archive(suite, archive)
        inside = "/var/tmp/base.tar"  # noqa: S108 - the instance's own
        shutil.copyfile(archive, self._builder.path(inside))
        self._builder.run(["podman", "import", inside, name], seconds=180)
        self._builder.path(inside).unlink()
        return name

    def _make_archive(self, suite: str, archive: Path) -> None:
        log, tree = self._options.logs / "base-image.log", self._options.work / "base.new"
        shutil.rmtree(tree, ignore_errors=True)
        options = ["--variant=minbase", f"--include={_PACKAGES}"]
        run(["debootstrap", *options, suite, tree], log, seconds=600)
        for useless in _NOT_IN_BASE:
            shutil.rmtree(tree / useless, ignore_errors=True)
            (tree / useless).mkdir()
        partial = archive.with_suffix(".new")
        run(["tar", "--create", f"--file={partial}", f"--directory={tree}", "."], log, seconds=120)
        shutil.rmtree(tree, ignore_errors=True)
        partial.rename(archive)

    def _copy_sources(self) -> None:
        """Copy the files of a bundle, so that this run's settings can be added to the copy."""
        left_out = shutil.ignore_patterns("rehearsal", "locks", "__pycache__")
        shutil.copytree(PROJECT / "deploy", self._source / "deploy", ignore=left_out)
        shutil.copy2(PROJECT / "appspec.yml", self._source)
        if self._options.health_seconds is not None:
            settings = self._source / "deploy" / "service.env"
            text = settings.read_text(encoding="utf-8")
            text = re.sub(r"^HEALTH_SECONDS=.*\n", "", text, flags=re.MULTILINE)
            settings.write_text(f"{text}HEALTH_SECONDS={self._options.health_seconds}\n")

    def _pip_volumes(self) -> list[str]:
        """Return the volumes with which pip in the build reaches the package index, as pip here."""
        listed = run([sys.executable, "-m", "pip", "config", "list"], self._log, seconds=60).stdout
        inside = "/etc/pip-of-the-rehearsal.conf"
        self._builder.path(inside).write_text(pip_settings(listed), encoding="utf-8")
        volumes = ["--volume", f"{inside}:/etc/pip.conf:ro"]
        if _AUTHORITIES.is_file():
            volumes += ["--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"]
        return volumes
