import shutil
from collections.abc import Callable
from pathlib import Path

import broken_off
import pytest
from broken_off import Bench, furnish, memory_registry

from carprice.registry.versions import Registry


@pytest.fixture(scope="session")
def bench_of(
    request: pytest.FixtureRequest, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Bench]:
    """Makes the furnished registry of a kind, once."""
    made: dict[str, Bench] = {}

    def make(kind: str) -> Bench:
        if kind == "memory":
            return Bench(memory_registry())
        if kind == "server":
            server = request.getfixturevalue("mlflow_server")
            return Bench(Registry(server.url, broken_off.NAME), server.log.parent / "mlflow.db")
        database = tmp_path_factory.mktemp("broken-off") / "mlflow.db"
        shutil.copy(empty_database, database)
        return Bench(Registry(f"sqlite:///{database}", broken_off.NAME), database)

    def once(kind: str) -> Bench:
        if kind not in made:
            made[kind] = make(kind)
            furnish(made[kind].client)
            made[kind].save()
        return made[kind]

    return once


@pytest.fixture
def bench(request: pytest.FixtureRequest, bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of(request.param)
