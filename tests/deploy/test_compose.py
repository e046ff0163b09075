"""``compose.yaml``: what it says, and its parts started as it says, without containers.

The images cannot be had everywhere that tests run. PostgreSQL and Prometheus are those of this
machine, MLflow and the service those of the project's environment, and moto stands for SeaweedFS.
"""

import datetime
import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from asking import BARE
from delivery import RELEASE_TOOLS, TOOLS, StandIns, free_port
from postgres import running_postgres

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
MOUNTS = [
    (name, volume.split(":"))
    for name, service in SERVICES.items()
    for volume in service.get("volumes", ())
]
NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)


def test_it_is_what_the_specification_of_compose_allows() -> None:
    """Another key, a wrong kind or a name that is not declared would be an error."""
    compose_spec = pytest.importorskip("compose_spec")

    def validated(text: str) -> None:
        compose_spec.PyCompose.from_yaml(text).validate()

    validated(TEXT)
    for right, wrong in (
        ("depends_on:", "depend_on:"),
        ("read_only: true", "read_only: perhaps"),
        ("  s3-login: {", "  s3-logins: {"),
    ):
        with pytest.raises(ValueError, match=wrong.split(":")[0].strip().rstrip("s")):
            validated(TEXT.replace(right, wrong, 1))


def test_nothing_is_open_to_others_or_of_no_version() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), name
        if "build" not in service:
            assert re.fullmatch(r"\S+\.\S+/\S+:v?\d+(\.\d+)+\S*", service["image"]), name
        assert service["restart"] == "unless-stopped"
        for other, needed in service.get("depends_on", {}).items():
            if needed["condition"] == "service_healthy":
                assert SERVICES[other]["healthcheck"]["test"][0] == "CMD"
    hardened = SERVICES["service"]
    assert hardened["read_only"]
    assert hardened["cap_drop"] == ["ALL"]
    assert hardened["security_opt"] == ["no-new-privileges:true"]


def test_what_is_mounted_is_there() -> None:
    for name, (source, *_) in MOUNTS:
        if source.startswith("./"):
            assert (ROOT / source).is_file(), (name, source)
        else:
            assert source in COMPOSE["volumes"], (name, source)
    places = {target: source for name, (source, target, *_) in MOUNTS if name == "grafana"}
    provider = yaml.safe_load((ROOT / "deploy/compose/grafana/dashboards.yaml").read_text("utf-8"))
    (folder,) = (one["options"]["path"] for one in provider["providers"])
    assert places[f"{folder}/dashboard.json"] == "./deploy/monitoring/dashboard.json"
    source = yaml.safe_load((ROOT / "deploy/compose/grafana/datasources.yaml").read_text("utf-8"))
    assert [one["url"] for one in source["datasources"]] == ["http://prometheus:9090"]


class Desk(StandIns):
    """A copy of the project's files that ``deploy/compose/up`` needs, with stand-ins."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, (*TOOLS, *RELEASE_TOOLS, "od"))
        self.project = folder / "project"
        self.scripts = self.project / "deploy" / "compose"
        for name in ("common.sh", "scripts", "compose"):
            copy = shutil.copytree if (ROOT / "deploy" / name).is_dir() else shutil.copy
            (self.project / "deploy").mkdir(parents=True, exist_ok=True)
            copy(ROOT / "deploy" / name, self.project / "deploy" / name)
        self.stand_in("docker", "podman-compose")

    @property
    def passwords(self) -> dict[str, Path]:
        """Where the secrets of compose.yaml are."""
        return {name: self.project / one["file"] for name, one in COMPOSE["secrets"].items()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_up_makes_passwords_once_and_starts_everything(desk: Desk) -> None:
    done = desk.succeeds("up")
    assert [str(call) for call in desk.calls] == [
        "docker compose version",
        "docker compose up --detach --build",
    ]
    texts = {name: path.read_text() for name, path in desk.passwords.items()}
    folder = desk.passwords["s3-login"].parent
    assert {path.name for path in folder.iterdir()} == set(texts)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    (identity,) = json.loads(texts["s3-identities"])["identities"]
    (login,) = identity["credentials"]
    assert f"aws_secret_access_key = {login['secretKey']}\n" in texts["s3-login"]
    made = (texts["database-password"], texts["grafana-password"], login["secretKey"])
    assert len({*made}) == 3
    for one in made:
        assert re.fullmatch(r"[0-9a-f]{48}", one)
        desk.never_shows(one, done)
        assert one not in TEXT

    desk.answers("docker compose version", code=1)
    desk.succeeds("up")
    assert {name: path.read_text() for name, path in desk.passwords.items()} == texts
    assert str(desk.calls[-1]) == "podman-compose up --detach --build"
    desk.lacks("podman-compose")
    desk.fails(2, ["neither docker compose nor podman-compose"], "up")


def test_git_does_not_see_the_passwords() -> None:
    files = [one["file"] for one in COMPOSE["secrets"].values()]
    command = ["git", "check-ignore", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip("no git repository here")
    assert done.stdout.split() == files


class Parts:
    """The services of compose.yaml as processes: names and ports are this machine's."""

    def __init__(self, desk: Desk, serve: Any, s3: str, stack: ExitStack, folder: Path) -> None:
        desk.succeeds("up", "--passwords")
        self._serve, self._stack, self.folder = serve, stack, folder
        database = SERVICES["database"]["environment"]
        assert database["POSTGRES_PASSWORD_FILE"] == "/run/secrets/database-password"
        password = desk.passwords["database-password"].read_text()
        self.database = database["POSTGRES_DB"]
        self.port = stack.enter_context(running_postgres(database["POSTGRES_USER"], password))
        self.connection = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": database["POSTGRES_USER"],
            "password": password,
        }
        self.ports = {name: free_port() for name in ("registry", "service", "prometheus")}
        self.changes = {
            "/run/secrets/": f"{desk.passwords['s3-login'].parent}/",
            "http://s3:8333": s3,
            "@database:5432": f"@127.0.0.1:{self.port}",
            "http://registry:5000": f"http://127.0.0.1:{self.ports['registry']}",
            ":5000": f":{self.ports['registry']}",
            "--port 5000": f"--port {self.ports['registry']}",
            "--host 0.0.0.0": "--host 127.0.0.1",
            "$$": "$",
        }

    def here(self, text: str) -> str:
        """Return a text of compose.yaml with this machine's addresses and folders."""
        for there, here in self.changes.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str, **more: str) -> dict[str, str]:
        return {key: self.here(value) for key, value in SERVICES[name]["environment"].items()} | {
            **more
        }

    def start(
        self, name: str, command: list[str], ready: str, environment: Mapping[str, str]
    ) -> Any:
        """Run a service until the test ends."""
        words = [word.replace("{", "{{").replace("}", "}}") for word in command]
        context = self._serve(
            words, self.folder, ready, environment=environment, port=self.ports[name]
        )
        return self._stack.enter_context(context)

    def up(self) -> tuple[Any, Any, Any]:
        """Start registry, service and Prometheus, in the order of ``depends_on``."""
        import psycopg

        with psycopg.connect(**self.connection, dbname="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.database}"')
        command = [self.here(word) for word in SERVICES["registry"]["command"]]
        registry = self.start("registry", command, "/health", self.environment("registry"))
        check = [self.here(word) for word in SERVICES["registry"]["healthcheck"]["test"][2:]]
        subprocess.run([sys.executable, *check], check=True)

        port, hurry = self.ports["service"], {"CARPRICE_POLL_SECONDS": "1"}
        hurry |= {"CARPRICE_DRAIN_SECONDS": "0", "CARPRICE_START_SECONDS": "5"}
        environment = self.environment("service", PORT=f"{port}", HOST="127.0.0.1", **hurry)
        service = self.start("service", [sys.executable, "-m", "api"], "/live", environment)

        config = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text("utf-8"))
        (job,) = config["scrape_configs"]
        assert job["static_configs"] == [{"targets": ["service:8000"]}]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        config["global"]["scrape_interval"] = "1s"
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        shutil.copy(ROOT / "deploy/monitoring/rules.yml", self.folder)
        command = [
            *("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"),
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
        ]
        return registry, service, self.start("prometheus", command, "/-/ready", {})


@pytest.fixture
def parts(desk: Desk, serve: Any, s3: str, no_aws_login: None, tmp_path: Path) -> Iterator[Parts]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    with ExitStack() as stack:
        yield Parts(desk, serve, s3, stack, tmp_path)


def test_from_listings_to_a_metric(
    parts: Parts,
    s3: str,
    finished: Any,
    small_settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The parts as compose.yaml starts them, a registration, a promotion, a price, a scrape."""
    import boto3
    import psycopg

    from carprice.arrays import quiet
    from carprice.components.register import register
    from carprice.components.workspace import Workspace
    from carprice.registry.promotion import promote, record_tests
    from carprice.registry.versions import Registry

    registry, service, prometheus = parts.up()
    for host, expected in ((f"registry:{registry.port}", 200), ("evil.example.org", 403)):
        url = f"{registry.url}/api/2.0/mlflow/experiments/search?max_results=1"
        answer = httpx.get(url, headers={"Host": host}, trust_env=False)
        assert answer.status_code == expected
    assert service.get("/")[0] == 503

    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.url)
    workspace = Workspace(shutil.copytree(finished[0].root, parts.folder / "workspace"))
    register(small_settings, workspace, NOW, quiet)
    versions = Registry(registry.url, "used-car-price")
    staged = versions.at("staging")
    assert staged is not None
    record_tests(versions, staged, (), NOW)
    promote(versions, NOW, "for the tests")
    with psycopg.connect(**parts.connection, dbname=parts.database) as connection:
        (count,) = connection.execute("SELECT count(*) FROM model_versions").fetchone() or (0,)
        assert count == 1
    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="any", aws_secret_access_key=secrets.token_hex(8)
    )
    assert client.list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["KeyCount"] > 5

    until(lambda: service.get("/")[0] == 200)
    status, price = service.post("/predict", BARE)
    assert status == 200
    assert price["modelVersion"] == f"{staged.number}"

    def value(query: str) -> float:
        answer = httpx.get(
            f"{prometheus.url}/api/v1/query", params={"query": query}, trust_env=False
        )
        found = answer.json()["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    asked = 'sum(carprice_requests_total{job="carprice",status="200",path="/predict"})'
    until(lambda: value(asked) == 1)
    assert value('up{job="carprice"}') == 1
    groups = json.loads(prometheus.get("/api/v1/rules")[1])["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) > 5
    client.close()


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
