"""Refuses an MLflow model that would have MLflow run anything but carprice's own loader."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from carprice.errors import CorruptModelError

LOADER: Final = "carprice.pyfunc"
_DESCRIPTION: Final = "MLmodel"
_LARGEST_DESCRIPTION: Final = 100_000
_ENVIRONMENTS: Final = ("conda.yaml", "python_env.yaml")
_EXAMPLES: Final = ("input_example.json", "serving_input_example.json")
_FILES: Final = frozenset(
    {
        *(_DESCRIPTION, *_ENVIRONMENTS, *_EXAMPLES),
        *("requirements.txt", "registered_model_meta"),
    }
)
"""What MLflow writes beside the model folder."""
_FLAVOR: Final = "python_function"
_KEYS: Final = frozenset(
    {"loader_module", "data", "env", "python_version", "streamable", "code", "config"}
)


def check_mlflow_files(downloaded: Path, folder: Path, what: str) -> None:
    """Refuse a downloaded MLflow model (``what``) that carprice did not log.

    Parameters
    ----------
    folder : the model folder in it, which was checked.

    Raises
    ------
    CorruptModelError
        If it has files of code, pickles or anything else that carprice does not log, or its
        ``MLmodel`` names another loader, code to import, or another flavour.
    """
    inner = folder.relative_to(downloaded).as_posix()
    for path in sorted(downloaded.rglob("*")):
        name = path.relative_to(downloaded).as_posix()
        is_known = path.is_relative_to(folder) or name in (*_FILES, Path(inner).parts[0])
        if path.is_symlink() or not is_known:
            raise CorruptModelError(
                f"{what}: it holds {name[:100]}, which carprice does not log; register it again"
            )
    try:
        problem = next(_problems(_read(downloaded / _DESCRIPTION), inner), "")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        problem = "it cannot be read"
    if problem:
        raise CorruptModelError(
            f"{what}: its {_DESCRIPTION} is not what carprice logs ({problem}), and nothing of it "
            "was loaded; register it again"
        )


def _read(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        content = file.read(_LARGEST_DESCRIPTION + 1)
    if len(content) > _LARGEST_DESCRIPTION:
        raise ValueError(path)
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
        raise ValueError(path)  # a few bytes of aliases are a list of billions
    found: Mapping[str, Any] = yaml.safe_load(content)
    return found


def _problems(description: Mapping[str, Any], folder: str) -> Iterator[str]:
    """Yield what is odd in an ``MLmodel``; only the first is of meaning."""
    flavors = description.get("flavors") or {}
    if [*flavors] != [_FLAVOR]:
        yield f"its flavours are {_shown(', '.join(map(str, flavors)))}, not {_FLAVOR} alone"
    flavor = flavors[_FLAVOR]
    if flavor.get("loader_module") != LOADER:
        yield f"its loader_module is {_shown(flavor.get('loader_module'))}, not {LOADER}"
    if odd := flavor.keys() - _KEYS:
        yield f"it names {_shown(min(map(str, odd)))}"
    for key in ("code", "config"):
        if flavor.get(key):
            yield f"it names {key} {_shown(flavor[key])}"
    if flavor.get("data") != folder:
        yield f"its data is {_shown(flavor.get('data'))}, not {folder}"
    environment = flavor.get("env") or {}
    files = environment.values() if isinstance(environment, Mapping) else [environment]
    for file in files:
        if file not in _ENVIRONMENTS:
            yield f"its env is {_shown(file)}"
    for key, value in (description.get("saved_input_example_info") or {}).items():
        if key.endswith("path") and value not in _EXAMPLES:
            yield f"its input example is {_shown(value)}"


def _shown(value: object) -> str:
    return repr(value)[:80]
