"""What all tests share: small models, registries, and real servers that end with the run."""

import datetime
import gc
import itertools
import json
import os
import pickle
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clean_environment  # noqa: F401 (first: it sets what carprice reads at its import)
import httpx
import pytest
import watchdog
from delivery import free_port
from filelock import FileLock

from carprice.arrays import quiet
from carprice.components.workspace import Workspace
from carprice.registry.database_file import address_of
from carprice.settings import Settings

if TYPE_CHECKING:
    from carprice.components.pipeline import PipelineResult
    from carprice.registry.versions import Registry, Version

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
SMALL = {
    "ingest": {"source": "sample", "sample": {"rows": 2000, "seed": 7}},
    "train": {"folds": 3, "booster": {"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1}},
}


# Files of few tests that take half a minute or more: at the end, one worker would be left alone.
LONG = (
    *("test_benchmarks.py", "test_contract.py", "test_from_data_to_production.py", "test_image.py"),
    *("test_coverage.py", "test_real_listings.py", "test_real_markets.py", "test_secrets.py"),
    *("test_up.py", "test_workflows.py", "test_image_host.py"),
)
# Files that use the same dear server or image: one of xdist's workers runs them all, so that it
# starts once.
TOGETHER = {
    "dagshub": (
        *("/test_dagshub.py", "/test_faults.py", "/test_from_data_to_production.py"),
        *("/test_image.py", "/test_tracking.py", "/test_workflows.py"),
    ),
    "image": (
        *("/test_image_ecs.py", "/test_image_host.py", "/test_image_kubernetes.py"),
        *("/test_image_lambda.py", "/test_image_sagemaker.py"),
    ),
    "mlflow": (
        *("/test_broken_off.py", "/test_fetch.py", "/model_tests/test_command.py"),
        *("/test_forged_production.py", "/test_promotion.py", "/test_challenger_processes.py"),
        *("/test_setup.py", "/test_versions.py", "/tests/test_cli.py"),
        *("/test_after_the_release.py",),
    ),
}
# What makes a test slow: fixtures that start a server or a workflow, or read real listings, and
# files whose tests train, tune, or run a program of their own again and again.
SLOW_FIXTURES = {
    *("act", "dagshub", "full_disk", "mlflow_server", "postgres", "real_data", "s3", "serve"),
}
SLOW_FILES = {
    *("test_another_market.py", "test_benchmarks.py", "test_clean_process.py", "test_command.py"),
    *("test_contract.py", "test_coverage.py", "test_fetch.py", "test_image.py", "test_secrets.py"),
    *("test_comparison.py", "test_sense.py", "test_snapshot.py", "test_tuning.py"),
    *("test_explanation.py", "test_hedonic.py", "test_keeper.py", "test_page.py"),
    *("test_promotion.py", "test_register.py", "test_regressor.py", "test_report.py"),
    *("test_estimators.py", "test_rehearsal_agent.py", "test_setup.py", "test_start_docker.py"),
    *("test_mapping.py", "test_markets.py", "test_train.py", "test_versions.py"),
    *("test_host.py", "test_image_host.py"),
}
WATCHDOG = pytest.StashKey["subprocess.Popen[bytes]"]()


def pytest_configure(config: pytest.Config) -> None:
    """Have every server of this run, and of its xdist workers, end with it."""
    if not hasattr(config, "workerinput"):
        config.stash[WATCHDOG] = watchdog.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if process := config.stash.get(WATCHDOG, None):
        process.communicate()


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at all modules again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow; begin with the longest files."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if SLOW_FIXTURES & fixtures or item.path.name in SLOW_FILES:
            item.add_marker(pytest.mark.slow)

    def order(item: pytest.Item) -> tuple[bool, bool, bool]:
        path = item.path.as_posix()
        dagshub, mlflow = (path.endswith(TOGETHER[name]) for name in ("dagshub", "mlflow"))
        return not dagshub, item.path.name not in LONG, not mlflow

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Like ``loadfile``, but for the files that stay together.

    The marks of ``loadgroup`` would do, but that xdist 3.8 loses them with pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class TogetherScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return next((name for name, files in TOGETHER.items() if file.endswith(files)), file)

    return TogetherScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _no_tracking_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry of whoever runs the tests is asked or written to."""
    for name in (
        *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
        *("MLFLOW_TRACKING_TOKEN", "DAGSHUB_USER_TOKEN", "DAGSHUB_PAT", "DAGSHUB_CLIENT_HOST"),
    ):
        monkeypatch.setenv(name, "")  # so that what the test leaves there is deleted at its end
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def small_settings() -> Settings:
    """Settings with which the whole pipeline takes seconds."""
    return Settings.model_validate(SMALL)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Any:
    """Return what one of xdist's workers makes in a folder, for all of them."""
    base = factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"{name}.pickle"
    with FileLock(f"{made}.lock"), pytest.MonkeyPatch.context() as patch:
        if not made.exists():
            patch.setenv("MLFLOW_TRACKING_URI", "")
            made.write_bytes(pickle.dumps(make(factory.mktemp(name))))
        return pickle.loads(made.read_bytes())  # noqa: S301


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, small_settings: Settings, empty_database: Path
) -> "tuple[Workspace, PipelineResult]":
    """A finished run of all stages on a small sample, with its own local registry. Read only."""
    from carprice.components.pipeline import run

    def make(folder: Path) -> "tuple[Path, PipelineResult]":
        shutil.copy(empty_database, folder / "mlflow.db")
        return folder, run(small_settings, Workspace(folder), NOW)

    folder, result = made_once(tmp_path_factory, "finished", make)
    return Workspace(folder), result


def copied(folder: Path) -> Path:
    """Copy the project's files into a new folder: what git has or would add, as they are now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no git repository here")
    for name in filter(None, done.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def copy_project() -> Callable[[Path], Path]:
    """Copies the project's files into a new folder."""
    return copied


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real listings; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("CARPRICE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real listings: {folder} does not exist (set CARPRICE_DATA)")
    return folder


@pytest.fixture(scope="session")
def cars24_table(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of cars24's Excel file, which takes seconds to read, as Parquet. Read only."""
    import pandas as pd

    def make(folder: Path) -> Path:
        raw = pd.read_excel(real_data / "cars24" / "cars24_v3.xlsx")
        raw.to_parquet(folder / "cars24.parquet", index=False)
        return folder / "cars24.parquet"

    path: Path = made_once(tmp_path_factory, "cars24", make)
    return path


@pytest.fixture(scope="session")
def cars24(
    cars24_table: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Workspace, PipelineResult]":
    """A finished run of all stages on cars24 as the example has it. Read only."""
    from carprice.components.pipeline import run
    from carprice.settings import load_settings

    def make(folder: Path) -> "tuple[Path, PipelineResult]":
        shutil.copy(empty_database, folder)
        settings = load_settings(ROOT / "examples" / "cars24.yaml", source=str(cars24_table))
        return folder, run(settings, Workspace(folder), NOW)

    folder, result = made_once(tmp_path_factory, "cars24_run", make)
    return Workspace(folder), result


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without runs, which takes seconds to make. To be copied."""
    from carprice.registry.tracking import connect

    def make(folder: Path) -> Path:
        connect(f"sqlite:///{(folder / 'mlflow.db').as_posix()}").search_experiments()
        return folder / "mlflow.db"

    path: Path = made_once(tmp_path_factory, "empty", make)
    return path


@pytest.fixture
def empty_registry(empty_database: Path, tmp_path: Path) -> Path:
    """The test's own folder, with a local registry that holds nothing."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def database(workspace: Workspace) -> str:
    """Return a workspace's own registry.

    ``tracking_uri`` would do, but MLflow leaves the last address in the environment that it reads.
    """
    return address_of(workspace.root / "mlflow.db")


@pytest.fixture(scope="session")
def promoted(
    tmp_path_factory: pytest.TempPathFactory, finished: "tuple[Workspace, PipelineResult]"
) -> Workspace:
    """A copy of the finished run whose version 1 is in production. Read only."""
    from carprice.registry.promotion import promote, record_tests
    from carprice.registry.versions import Registry

    def make(folder: Path) -> Path:
        root: Path = shutil.copytree(finished[0].root, folder / "workspace")
        registry = Registry(database(Workspace(root)), "used-car-price")
        staged = registry.at("staging")
        assert staged is not None
        record_tests(registry, staged, (), NOW)
        promote(registry, NOW, "for the tests")
        return root

    return Workspace(made_once(tmp_path_factory, "promoted", make))


@pytest.fixture(scope="session")
def shuffled(
    finished: "tuple[Workspace, PipelineResult]",
    small_settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workspace:
    """A run whose model learned from prices that belong to other cars. Read only."""
    import numpy as np
    import pandas as pd

    from carprice.components.evaluate import evaluate
    from carprice.components.train import train

    def make(folder: Path) -> Path:
        workspace = Workspace(shutil.copytree(finished[0].root, folder / "workspace"))
        features = pd.read_parquet(workspace.train_features)
        prices = features["ln_price"].to_numpy()
        features["ln_price"] = np.random.default_rng(0).permutation(prices)
        features.to_parquet(workspace.train_features, index=False)
        train(small_settings.train, workspace, quiet)
        evaluate(workspace, quiet)
        return workspace.root

    return Workspace(made_once(tmp_path_factory, "shuffled", make))


def retouched(folder: Path, target: Path, mark: int = 1) -> Path:
    """Save a model such that it prices alike and has another digest."""
    from carprice.model import PriceModel

    model = PriceModel.load(folder)
    replace(model, metrics={**model.metrics, "mark": mark}).save(target)
    return target


@pytest.fixture(scope="session")
def registry_address() -> Callable[[Workspace], str]:
    """Returns the address of a workspace's own registry."""
    return database


@pytest.fixture(scope="session")
def another_model() -> Callable[..., Path]:
    """Saves a model again, under another digest: ``another_model(folder, target)``."""
    return retouched


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx takes 40 ms a request to make its own


@dataclass(frozen=True)
class Server:
    """A running server of a test."""

    url: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET."""
        answer = self._ask("GET", path)
        return answer.status_code, answer.text

    def post(self, path: str, content: Any) -> tuple[int, Any]:
        """Return status and JSON of a POST."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = self._ask("POST", path, content=data)
        return answer.status_code, answer.json()

    def _ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if body else {}
        options: dict[str, Any] = {"timeout": 30, "follow_redirects": True, "trust_env": False}
        url = self.url + path
        return httpx.request(method, url, headers=headers, verify=_NO_TLS, **body, **options)


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    ready: str = "/",
    environment: Mapping[str, str] | None = None,
    deadline: float = 600,
    port: int | None = None,
) -> Iterator[Server]:
    """Run a server in a folder until the block ends; ``{port}`` in the command is a free port.

    The block starts when GET ``ready`` answers 200.
    """
    port = port or free_port()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env={**os.environ, "PATH": path, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", port, process, log)
    try:
        _wait_until_ready(server, ready, time.monotonic() + deadline)
        yield server
    finally:
        _stop(process)


def _wait_until_ready(server: Server, ready: str, deadline: float) -> None:
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with suppress(httpx.HTTPError):
            if server.get(ready)[0] == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"{server.process.args} did not get ready:\n{server.log.read_text()[-3000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a server and the workers that it started."""
    for request, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, request)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Server]]:
    """Runs any server as long as a ``with`` block lasts; see ``running``."""
    return running


def mlflow_command(folder: Path, *options: str) -> list[str]:
    """Return the command of an MLflow server with its database and artifacts in a folder."""
    return [
        *(sys.executable, "-m", "mlflow", "server", *options),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
        *("--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
    ]


QUIET_MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@pytest.fixture(scope="session")
def mlflow_server(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator[Server]:
    """A real MLflow server over HTTP, with its own database and artifact store."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with running(mlflow_command(folder), folder, "/health", QUIET_MLFLOW) as server:
        yield server


def put_in_registry(uri: str, name: str, folder: Path, scratch: Path) -> int:
    """Register a model folder under a name and return its version."""
    from carprice.model_folder import folder_digest
    from carprice.registry.tracking import start_run
    from carprice.registry.versions import Registry

    registry = Registry(uri, name)
    with start_run(uri, "test", scratch, params={}, tags={}):
        return registry.log_version(folder, {"digest": folder_digest(folder)}).number


@pytest.fixture(scope="session")
def register() -> Callable[[str, str, Path, Path], int]:
    """Registers a model folder; see ``put_in_registry``."""
    return put_in_registry


def of_newer_format(folder: Path, target: Path) -> Path:
    """Save a model in a format that nothing here can read."""
    from carprice.model import PriceModel

    model = PriceModel.load(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carprice.model_folder.FORMAT_VERSION", 99)
        model.save(target)
    return target


@pytest.fixture(scope="session")
def newer_model() -> Callable[[Path, Path], Path]:
    """Copies a model folder and gives it a format that is not known yet."""
    return of_newer_format


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own in which hardly a byte can be written. Needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("a full disk needs leave to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


_numbers = itertools.count(1)
_logged: "dict[tuple[str, str], tuple[Version, str]]" = {}


@dataclass(frozen=True)
class Store:
    """A registry and where its artifacts lie on the disk."""

    registry: "Registry"
    folder: Path

    def log(self, model: Path, *, is_shared: bool = True, **tags: str) -> "Version":
        """Log a version of a model folder that the gate accepted.

        Its artifacts, which take a second to log, are those of the first version of this folder
        at the same address, under whatever name, unless they are not to be shared.
        """
        from carprice.model_folder import folder_digest
        from carprice.registry.tracking import start_run

        registry, digest = self.registry, folder_digest(model)
        tags = {"digest": digest, "gate": "accepted", **tags}
        if is_shared and (registry.uri, digest) in _logged:
            first, source = _logged[registry.uri, digest]
            client, tags = registry._client, {**tags, "files": first.tags["files"]}
            if not registry.versions():
                client.create_registered_model(registry.name)
            made = client.create_model_version(
                registry.name, source, first.run, tags, model_id=source.removeprefix("models:/")
            )
            return replace(first, number=int(made.version), tags=tags)
        with start_run(registry.uri, "test", self.folder, params={}, tags={}):
            version = registry.log_version(model, tags)
        if is_shared:
            _logged[registry.uri, digest] = (version, self.source(version))
        return version

    def stage(self, model: Path, *failures: str, is_shared: bool = True, **tags: str) -> "Version":
        """Log a version as the gate leaves it, with its model tests run."""
        from carprice.registry.promotion import champion_of, record_tests

        champion = champion_of(self.registry.at("production"))
        version = self.log(model, is_shared=is_shared, gate_champion=champion, **tags)
        self.registry.point("staging", version.number, NOW)
        record_tests(self.registry, version, failures, NOW)
        return version

    def artifact(self, version: "Version", name: str) -> Path:
        """Return where a file of a version lies."""
        source = self.source(version).removeprefix("models:/")
        (path,) = self.folder.rglob(f"{source}/**/{name}")
        return path

    def source(self, version: "Version") -> str:
        """Return what MLflow calls the place of a version's artifacts."""
        client, name = self.registry._client, self.registry.name
        return str(client.get_model_version(name, str(version.number)).source)


@pytest.fixture(scope="session")
def local_folder(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Where the database of ``store`` lies; one for all, its tests have names of their own."""
    folder = tmp_path_factory.mktemp("local-registry")
    return Path(shutil.copy(empty_database, folder / "mlflow.db")).parent


@pytest.fixture(params=["database", pytest.param("server", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, local_folder: Path) -> Store:
    """A registry of its own name: in a local database, and on a real server."""
    from carprice.registry.tracking import tracking_uri
    from carprice.registry.versions import Registry

    name = f"cars-{next(_numbers)}"
    if request.param == "database":
        return Store(Registry(tracking_uri(local_folder, None), name), local_folder)
    server = request.getfixturevalue("mlflow_server")
    return Store(Registry(server.url, name), server.log.parent)


@dataclass(frozen=True)
class DagsHub:
    """A stand-in for DagsHub with one repository, before a real MLflow server with logins."""

    host: str
    repo: str
    user: str
    token: str
    upstream: Server

    @property
    def uri(self) -> str:
        """The MLflow address of the repository."""
        return f"{self.host}/{self.repo}.mlflow"

    @property
    def behind(self) -> str:
        """The address of the MLflow server itself, with its login."""
        return self.upstream.url.replace("://", f"://{self.user}:{self.token}@")

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets."""
        return {"DAGSHUB_CLIENT_HOST": self.host, "DAGSHUB_USER_TOKEN": self.token}


@contextmanager
def dagshub_before(
    upstream: Server, folder: Path, token: str, user: str, repo: str, *options: str
) -> Iterator[DagsHub]:
    """Run the stand-in before an MLflow server; ``options`` are the program's."""
    command = [
        *(sys.executable, str(ROOT / "tests" / "dagshub_server.py"), "--port", "{port}"),
        *("--user", user, "--repository", repo, "--upstream", upstream.url, *options),
    ]
    with running(command, folder, "/health", {"DAGSHUB_USER_TOKEN": token}) as server:
        yield DagsHub(server.url, repo, user, token, upstream)


@pytest.fixture(scope="session")
def dagshub(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[DagsHub]:
    """The stand-in for DagsHub, with the repository ``me/cars``."""
    folder, user, token = tmp_path_factory.mktemp("dagshub"), "me", secrets.token_hex(20)
    shutil.copy(empty_database, folder / "mlflow.db")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\nadmin_username = {user}\n"
        f"admin_password = {token}\ndatabase_uri = sqlite:///{folder / 'auth.db'}\n"
        "auth_cache_ttl_seconds = 3600\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = mlflow_command(folder, "--app-name", "basic-auth")
    environment = {
        **QUIET_MLFLOW,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "<a key of the tests>",
    }
    with (
        running(command, folder, "/health", environment) as upstream,
        dagshub_before(upstream, folder, token, user, "me/cars") as found,
    ):
        yield found


@pytest.fixture(scope="session")
def dagshub_like() -> Callable[..., AbstractContextManager[DagsHub]]:
    """Runs another stand-in for DagsHub; see ``dagshub_before``."""
    return dagshub_before


@pytest.fixture(scope="session")
def dvc_config() -> str:
    """``.dvc/config`` as it is shipped; a clone's own names its own remote."""
    return (
        "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n"
        "    remote = storage\n['remote \"storage\"']\n    url = s3://<your-bucket>/carprice\n"
    )


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real S3 store over HTTP, empty at first, that takes any login."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1"]
    folder = tmp_path_factory.mktemp("s3")
    with running([*command, "-p", "{port}"], folder, "/moto-api/") as server:
        yield server.url


@pytest.fixture(scope="session")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that no system trusts, with its key."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(path.with_name("key")), "-out", str(path.with_name("certificate"))]
    subprocess.run([*new, *subject, *files], check=True, capture_output=True)
    path.write_text(path.with_name("key").read_text() + path.with_name("certificate").read_text())
    return path


@pytest.fixture
def no_aws_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which the usual AWS chain finds nothing."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


AWS_SECRET = secrets.token_hex(20)


@pytest.fixture
def aws(no_aws_login: None, s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of someone with a login to the S3 store; returns the secret of it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
    return AWS_SECRET


@pytest.fixture
def bucket(aws: str) -> Iterator[Any]:
    """A client of the S3 store, where the bucket ``market`` stands empty."""
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="market")
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="market"):
        for item in page.get("Contents", []):
            client.delete_object(Bucket="market", Key=item["Key"])
    client.delete_bucket(Bucket="market")
    client.close()
