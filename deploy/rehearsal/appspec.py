"""The application specification file as the CodeDeploy agent reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

DEFAULT_SECONDS: Final = 3600
BEHAVIORS: Final = ("DISALLOW", "OVERWRITE", "RETAIN")


class AppSpecError(Exception):
    """The agent refuses the file; the message is close to its own."""


@dataclass(frozen=True)
class Script:
    """A script of a hook; ``location`` is relative to the bundle's root."""

    location: str
    runas: str | None
    seconds: int


@dataclass(frozen=True)
class AppSpec:
    """What is installed where, and which scripts a lifecycle event runs."""

    hooks: Mapping[str, tuple[Script, ...]]
    files: tuple[tuple[str, str], ...]
    file_exists_behavior: str | None


def parse(text: str) -> AppSpec:
    """Read an appspec.yml.

    Raises
    ------
    AppSpecError
        If the agent would refuse it.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AppSpecError(f"the application specification file is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise AppSpecError("the application specification file is empty")
    if content.get("version") != 0.0:
        raise AppSpecError(
            f"an invalid version value ({content.get('version')}) was entered in the application "
            'specification file; it must be "0.0"'
        )
    if content.get("os") != "linux":
        raise AppSpecError(
            f"the application specification file specifies an unsupported operating system "
            f"({content.get('os')})"
        )
    behavior = content.get("file_exists_behavior")
    if behavior is not None and behavior not in BEHAVIORS:
        raise AppSpecError(
            f"an invalid option was specified for file_exists_behavior: {behavior}; valid options "
            f"are {', '.join(BEHAVIORS)}"
        )
    hooks = {name: _scripts(given) for name, given in (content.get("hooks") or {}).items()}
    return AppSpec(hooks, _files(content.get("files") or []), behavior)


def _scripts(given: Any) -> tuple[Script, ...]:
    found = []
    for one in given or []:
        location = str(one.get("location") or "").strip()
        if not location:
            raise AppSpecError(
                "the application specification file specifies a script with no location value"
            )
        seconds = int(one.get("timeout") or DEFAULT_SECONDS)
        if seconds <= 0:
            raise AppSpecError(f"an invalid timeout value was provided for the script {location}")
        runas = one.get("runas")
        found.append(Script(location, None if runas is None else str(runas).strip(), seconds))
    return tuple(found)


def _files(given: Any) -> tuple[tuple[str, str], ...]:
    found = []
    for one in given:
        source, destination = one.get("source"), one.get("destination")
        if not source or not destination:
            raise AppSpecError(
                "the application specification file specifies only a source or a destination file"
            )
        found.append((str(source), str(destination)))
    return tuple(found)


def copies(archive: Path, source: str, destination: str) -> dict[Path, PurePosixPath]:
    """Return which files of an unpacked bundle go where.

    A folder's content goes into the destination, a file keeps its name in it.

    Raises
    ------
    AppSpecError
        If the source is not in the bundle.
    """
    origin, target = archive / source.strip("/"), PurePosixPath(destination)
    if origin.is_file():
        return {origin: target / origin.name}
    if not origin.is_dir():
        raise AppSpecError(f"No such file or directory: {source}")
    return {
        path: target / path.relative_to(origin).as_posix()
        for path in sorted(origin.rglob("*"))
        if not path.is_dir()
    }
