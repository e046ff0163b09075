"""The image that the Dockerfile starts from, made of Debian's packages where it is not there.

It stands in for the public image of that name: no registry of base images is needed.
"""

import re
import shutil
from pathlib import Path
from typing import Final

from rehearsal.instances import Instance
from rehearsal.options import Options
from rehearsal.processes import RehearsalError, run, say

_PACKAGES: Final = "python3,python3-venv,python3-pip,ca-certificates"
_BASE: Final = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_SUITE: Final = re.compile(r":.*-([a-z]+)$")
_USELESS: Final = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)


def base_name(dockerfile: str) -> tuple[str, str]:
    r"""Return the base image that a Dockerfile names, and the Debian release in its tag.

    Raises
    ------
    RehearsalError
        If there is none.

    Examples
    --------
    >>> base_name("ARG BASE=docker.io/library/python:3.11-slim-bookworm\n")
    ('docker.io/library/python:3.11-slim-bookworm', 'bookworm')
    """
    base = _BASE.search(dockerfile)
    suite = _SUITE.search(base[1]) if base else None
    if base is None or suite is None:
        raise RehearsalError(
            "the Dockerfile needs a line ARG BASE=<image>:<version>-slim-<Debian release>"
        )
    return base[1], suite[1]


def make_archive(options: Options) -> Path:
    """Return a tar archive of a small Debian with Python; kept between runs."""
    name, suite = base_name((options.project / "Dockerfile").read_text(encoding="utf-8"))
    archive = options.work / f"base-{suite}.tar"
    if archive.is_file():
        return archive
    say(f"Making {name} of Debian's packages, once")
    log, tree = options.logs / "base-image.log", options.work / "base.new"
    shutil.rmtree(tree, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(tree)]
    run(command, log, seconds=600)
    for useless in _USELESS:
        shutil.rmtree(tree / useless, ignore_errors=True)
        (tree / useless).mkdir()
    partial = archive.with_suffix(".new")
    run(["tar", "--create", f"--file={partial}", f"--directory={tree}", "."], log, seconds=120)
    shutil.rmtree(tree, ignore_errors=True)
    partial.rename(archive)
    return archive


def have_base(options: Options, builder: Instance, archive: Path) -> None:
    """Have the base image in the builder's store."""
    name, _ = base_name((options.project / "Dockerfile").read_text(encoding="utf-8"))
    code, _ = builder.run(["podman", "image", "exists", name], seconds=30, allowed=(0, 1))
    if code:
        inside = builder.path("/var/tmp/base.tar")  # noqa: S108 - the instance's own
        shutil.copyfile(archive, inside)
        builder.run(["podman", "import", "/var/tmp/base.tar", name], seconds=180)  # noqa: S108
        inside.unlink()
