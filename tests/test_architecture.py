import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from pydantic import BaseModel

import carprice
from carprice.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = ("ingest", "transform", "train", "evaluate")


def module_name(path: Path) -> str:
    base = SOURCE if path.is_relative_to(SOURCE) else ROOT
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for folder in (SOURCE / "carprice", ROOT / "api")
    for path in folder.rglob("*.py")
}


PUBLIC = {f"carprice.{name}": home for name, (home, _) in carprice._HOMES.items()}
"""What ``from carprice import`` offers, and the module that each is taken from when asked for."""


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield child
            yield from statements(child)


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return what a module imports anywhere: modules as they are, names of ours as modules."""
    found = set()
    for node in statements(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = {f"{node.module}.{name.name}" for name in node.names}
            ours = names & {*FILES, *PUBLIC}
            found |= ours or {str(node.module)}
            found.add(str(node.module))
    return frozenset(found)


def closure(module: str) -> set[str]:
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        one = waiting.pop()
        seen.add(one)
        waiting |= {name for name in imports(one) if name in FILES} - seen
    return seen


def below(package: str) -> list[str]:
    return sorted(name for name in FILES if starts(name, (package,)))


def starts(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def users(room: str, *packages: str) -> set[str]:
    """Return the modules of a room that import one of the packages, anywhere."""
    return {
        module for module in below(room) if any(starts(name, packages) for name in imports(module))
    }


FLOORS = (
    ("public API",),
    ("cli",),
    ("experiments", "model_tests"),
    ("components",),
    ("api",),
    ("registry",),
    ("monitoring",),
    ("eda",),
    ("estimator",),
    ("evaluation",),
    ("appraisal", "pyfunc"),
    ("model",),
    ("listings",),
    ("sample",),
    ("settings", "model_folder"),
    ("schema", "files", "redaction", "metrics"),
    ("arrays", "errors"),
    ("version",),
    ("threads",),
)
"""Rooms from the top down; a module imports its own room and the floors below."""
HEIGHT = {room: len(FLOORS) - floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("mlflow", "fastapi", "boto3", "pandas", "sklearn", "dvc", "matplotlib")


def room_of(module: str) -> str:
    if module in PUBLIC:
        return "public API"
    parts = module.split(".")
    if parts[0] == "api":
        return "api"
    return parts[1] if len(parts) > 1 else "version"


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in (*FILES, *PUBLIC)} == set(HEIGHT)


def test_the_picture_of_the_rooms_shows_each_on_its_floor() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "rooms.svg")  # noqa: S314
    shown: dict[str, set[str]] = {}
    for text in picture.iterfind(".//{*}text"):
        words = next(text.itertext(), "")
        if words in HEIGHT:
            shown.setdefault(text.attrib["y"], set()).add(words)
    floors = [shown[height] for height in sorted(shown, key=int)]
    assert floors == [set(rooms) for rooms in FLOORS]


def test_at_most_ten_modules_lie_flat() -> None:
    flat = {path.name for path in (SOURCE / "carprice").glob("*.py")} - {"__init__.py"}
    assert len(flat) <= 10, flat


@pytest.mark.parametrize("module", sorted({*FILES, *PUBLIC}))
def test_imports_point_down(module: str) -> None:
    own = room_of(module)
    ours = {PUBLIC[module]} if module in PUBLIC else imports(module) & {*FILES, *PUBLIC}
    others = {name for name in ours if room_of(name) != own}
    assert {name for name in others if HEIGHT[room_of(name)] >= HEIGHT[own]} == set()


def test_imports_make_no_circle() -> None:
    waiting = {module: imports(module) & set(FILES) - {module} for module in FILES}
    while free := {module for module, needed in waiting.items() if not needed & set(waiting)}:
        waiting = {module: needed for module, needed in waiting.items() if module not in free}
    assert waiting == {}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("carprice.schema", HEAVY),
        ("carprice.errors", ("numpy", *HEAVY)),
        ("carprice.files", ("numpy", *HEAVY)),
        ("carprice.redaction", ("numpy", *HEAVY)),
        ("carprice.arrays", HEAVY),
        ("carprice.threads", ("numpy", "carprice", "joblib", *HEAVY)),
        ("carprice.settings", HEAVY),
        ("carprice.metrics", HEAVY),
        ("carprice.model_folder", ("numpy", *HEAVY)),
        ("carprice.components.workspace", HEAVY),
        ("carprice.listings", ("mlflow", "fastapi")),
        ("carprice.listings.features", HEAVY),
        ("carprice.model", tuple(name for name in HEAVY if name != "sklearn")),
        ("carprice.evaluation.gate", HEAVY),
        ("carprice.eda", ("mlflow", "fastapi", "boto3", "dvc")),
        ("carprice.registry", ("fastapi", "carprice.model")),
        ("carprice.registry.logins", HEAVY),
        ("carprice.registry.provenance", HEAVY),
        ("carprice.registry.dagshub", HEAVY),
        ("carprice.registry.fetch", ("numpy", "carprice.registry.tracking", *HEAVY)),
        ("carprice.components", ("api", "fastapi", "mlflow")),
        ("carprice.experiments", ("api", "carprice.registry.versions", "fastapi", "mlflow")),
        ("carprice.model_tests", ("api", "fastapi", "mlflow", "matplotlib")),
        ("carprice.model_tests.clean_start", ("carprice", "numpy", *HEAVY)),
        ("carprice.model_tests.serving_requirements", ("carprice", "numpy", *HEAVY)),
        ("api", HEAVY[2:]),
    ],
)
def test_a_room_stays_free_of(package: str, forbidden: tuple[str, ...]) -> None:
    modules = below(package)
    assert modules, f"there is no {package}"
    for module in modules:
        inside = {name for name in imports(module) if starts(name, (package,))}
        broken = {name for name in imports(module) - inside if starts(name, forbidden)}
        assert broken - {"carprice"} == set(), module


@pytest.mark.parametrize(
    ("room", "packages", "expected"),
    [
        ("carprice", ("api",), {"carprice.cli.serve"}),
        (
            "carprice",
            ("mlflow",),
            {f"carprice.registry.{name}" for name in ("artifacts", "versions", "tracking")},
        ),
        (
            "carprice.model",
            ("sklearn", "scipy"),
            {
                f"carprice.model.{name}"
                for name in ("falling", "hedonic_fit", "normal_equations", "ridge_chunk", "trust")
            },
        ),
    ],
    ids=["the service", "mlflow", "scikit-learn and scipy"],
)
def test_only_these_modules_import(room: str, packages: tuple[str, ...], expected: set) -> None:
    assert users(room, *packages) == expected
    assert users("api", "mlflow") == set()


def test_the_checks_above_see_lazy_imports_and_not_those_for_types() -> None:
    assert "onnxmltools.convert" in imports("carprice.model.booster")
    assert "mlflow" in imports("carprice.registry.tracking")
    assert "carprice.listings.sources" not in imports("carprice.schema")
    assert "carprice.sample.catalog" in closure("carprice.components.ingest")


def printed(program: str, *arguments: str) -> str:
    """Return what a program prints in a new process."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_the_service_starts_without_what_only_training_or_a_later_answer_needs() -> None:
    program = (
        "import gc, sys; gc.disable(); import api.main;"
        "print(gc.isenabled(), gc.get_freeze_count(), *sys.modules)"
    )
    is_enabled, frozen, *loaded = printed(program).split()
    heavy = {"pandas", "scipy", "sklearn", "dvc", "dagshub", "matplotlib", "mlflow", "xgboost"}
    assert "carprice.model.price_model" in loaded
    assert {*heavy, "rapidfuzz"} & {*loaded} == set()
    # and collects garbage again once it is there
    assert is_enabled == "True"
    assert int(frozen) > 0


@functools.cache
def loaded_by() -> dict[str, list[str]]:
    """Return what each stage loads of ours, in one process that forgets ours before each."""
    program = """
import importlib, sys
for stage in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("carprice")]:
        del sys.modules[name]
    importlib.import_module(f"carprice.components.{stage}")
    print(*[name for name in sys.modules if name.startswith("carprice")])
"""
    lines = map(str.split, printed(program, *STAGES).splitlines())
    return dict(zip(STAGES, lines, strict=True))


def declared(stage: str) -> dict[str, set[str]]:
    """Return the modules of each of a stage's code dependencies; a folder covers its files."""
    deps = [dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("src/")]
    return {
        dep: {name for name, path in FILES.items() if path.is_relative_to(ROOT / dep)}
        for dep in deps
    }


def without_packages(modules: set[str]) -> set[str]:
    return {module for module in modules if FILES[module].name != "__init__.py"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_code_that_it_runs(stage: str) -> None:
    needed = closure(f"carprice.components.{stage}")
    # Loaded with the package; how many threads compute is no part of a result.
    needed -= {"carprice.threads"}
    assert without_packages({*loaded_by()[stage]}) - {"carprice.threads"} <= needed
    found = declared(stage)
    assert without_packages(needed) - set().union(*found.values()) == set()
    assert [dep for dep, covered in found.items() if not covered & needed] == []


@pytest.mark.parametrize("stage", [*PIPELINE["stages"]])
def test_a_stage_runs_the_command_of_its_name(stage: str) -> None:
    assert PIPELINE["stages"][stage]["cmd"] == f"carprice {stage}"
    assert stage in (*STAGES, "register")


def keys(stage: str) -> list[str]:
    return PIPELINE["stages"][stage].get("params", [])


@pytest.mark.parametrize(
    "key", sorted({key for stage in PIPELINE["stages"] for key in keys(stage)})
)
def test_a_declared_param_stands_in_the_file_and_is_a_setting(key: str) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    model: type[BaseModel] | None = Settings
    for part in key.split("."):
        content = content[part]
        assert model is not None
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        kind = fields[part].annotation
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


@pytest.mark.parametrize(
    ("stage", "section"), [("ingest", "ingest"), ("train", "train"), ("register", "register")]
)
def test_every_setting_of_a_stage_is_declared(stage: str, section: str) -> None:
    fields = {field.alias or name: field for name, field in Settings.model_fields.items()}
    kind = fields[section].annotation
    assert kind is not None
    every = {f"{section}.{name}" for name in kind.model_fields}
    assert section in keys(stage) or every <= set(keys(stage))


def test_only_register_runs_always() -> None:
    always = [name for name, stage in PIPELINE["stages"].items() if stage.get("always_changed")]
    assert always == ["register"]
