"""Ports, paths, names and limits that many files repeat are everywhere what the code says.

A fact says how it is written, wherever that is. All that is written so in the delivery's files must
be in the table, each file with its value: another value fails, and so does a place that is new.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from image_env import LOG_FOLDER, service_settings

from api import draining, prediction_log, server
from api.environment import DEFAULT_PORT, SECRETS_FOLDER
from api.gateway import HEALTH
from api.protocols import scoring
from api.service_settings import ServiceSettings
from carprice.cli import serve
from carprice.registry.versions import PRODUCTION
from carprice.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = service_settings(ROOT / "deploy" / "service.env")
WITHOUT_FACTS = {"locks", "rehearsal", "training"}
"""Folders of deploy: versions of packages, and stand-ins with addresses of their own."""
TEMPLATE = "deploy/cloudformation/service.yaml"
SCRIPTS = "deploy/scripts"
ECS, K8S = "deploy/ecs/service.yaml", "deploy/kubernetes/base"
HOST, LAMBDA = "deploy/host", "deploy/lambda"
SAGEMAKER = "deploy/sagemaker/template.yaml"
SAGEMAKER_PORT = "8080"
"""That of an endpoint of one container."""
USER = "10001"
STATE = "/var/lib/carprice"
STOP_SECONDS = "30"
"""Between SIGTERM and SIGKILL."""
MEMORY = "1024"
"""MiB of a container."""


@dataclass(frozen=True)
class Fact:
    """A fact of the delivery.

    Attributes
    ----------
    value : what the code says.
    looks : expression that finds it, whatever its value is; the value is in one of the groups.
    places : the files where it is.
    other : files where something else is right, or something more, with all of it.
    ignored : values that are something else.
    """

    value: str
    looks: str
    places: tuple[str, ...]
    other: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


FACTS = {
    "port": Fact(
        str(DEFAULT_PORT),
        r"(?i)\b(?!min|max)[a-z_]*port[\"']?(?:[:=] ?|, Value: )[\"']?(\d+)\b|\bport:-(\d+)"
        r"|(?:127\.0\.0\.1|localhost|\bservice):(\d+)|EXPOSE (\d+)|number PORT (\d+)"
        r"|\n  Port:\n(?:    .*\n)*?    Default: (\d+)|--publish (\d+):",
        (
            *("Dockerfile", "deploy/service.env", "deploy/monitoring/prometheus.yml"),
            *(f"{SCRIPTS}/common.sh", TEMPLATE, ECS, f"{LAMBDA}/Dockerfile"),
            *(f"{HOST}/carprice.service", f"{HOST}/carprice-host", f"{K8S}/deployment.yaml"),
            *(f"{K8S}/network_policy.yaml", f"{K8S}/service.env"),
        ),
        {
            SAGEMAKER: (SAGEMAKER_PORT,),
            # With Grafana's, Prometheus' and the registry's; SeaweedFS'.
            "deploy/compose/up": ("3000", "5000", str(DEFAULT_PORT), "9090"),
            "compose.yaml": ("3000", "5000", str(DEFAULT_PORT), "8333", "9090"),
        },
        ignored=("53", "80", "443"),
    ),
    "health path of load balancers and hooks": Fact(
        HEALTH[0],
        r"(?i)health-?check-?path[\"']?[ :=]+[\"']?(/[^\s\"',}]*)|httpchk +(?:GET +)?(/\S*)"
        r"|\burl=http://127\.0\.0\.1:\S*?\)(/)\n|127\.0\.0\.1:\$\{port:-\d+\}(/[^\"]*)",
        (TEMPLATE, f"{SCRIPTS}/wait_for_health.sh", ECS, f"{HOST}/carprice-host"),
    ),
    "liveness path": Fact(
        HEALTH[2],
        r"(?:liveness|startup)Probe:\s+httpGet:\s+\{?path: (/\w*)",
        (f"{K8S}/deployment.yaml",),
    ),
    "readiness path": Fact(
        HEALTH[1],
        r"readinessProbe:\s+httpGet:\s+\{?path: (/\w*)|READINESS_CHECK_PATH=(\S+)",
        (f"{K8S}/deployment.yaml", f"{LAMBDA}/Dockerfile"),
    ),
    "metrics path": Fact(
        "/metrics",
        r"metrics_path: (\S+)|port: http\s+path: (/\S*)",
        (
            "deploy/monitoring/prometheus.yml",
            "deploy/kubernetes/components/pod-monitor/pod_monitor.yaml",
        ),
    ),
    "health check of the container": Fact(
        "api.healthcheck",
        r"python3\"?, \"?-m\"?, \"?(api\.health\w*)",
        ("Dockerfile", ECS),
    ),
    "name of repository and container": Fact(
        "carprice",
        r"newName: [^/\s]+/(\S+)|\breadonly container=(\S+)|docker run --rm --name (\S+)"
        r"|\n +(?:- name|- Name|ContainerName|image): (\S+)\n(?= +(?:image|Image|ports|imagePull))"
        r"|\n  (?:Name|Repository):\n(?:    .*\n)*?    Default: (\S+)",
        (
            f"{SCRIPTS}/common.sh",
            *(f"deploy/cloudformation/{name}.yaml" for name in ("access", "network")),
            *(f"deploy/cloudformation/{name}.yaml" for name in ("observability", "storage")),
            *(TEMPLATE, ECS, SAGEMAKER, f"{LAMBDA}/template.yaml", f"{HOST}/carprice.service"),
            *(f"{K8S}/deployment.yaml", "deploy/kubernetes/next/kustomization.yaml"),
            *(f"deploy/kubernetes/overlays/{name}/kustomization.yaml" for name in ("dev", "prod")),
        ),
    ),
    "user": Fact(
        USER,
        r"(?:\b[ug]id=|--owner=|--group=|\bUser: \"|\buser=|runAs(?:User|Group): |fsGroup: |USER "
        r"|chown -R )(\d+)(?::\d+)?",
        (
            *("Dockerfile", f"{SCRIPTS}/start_docker.sh", ECS, f"{K8S}/deployment.yaml"),
            f"{HOST}/carprice.service",
        ),
    ),
    "folder of the state": Fact(
        STATE,
        r"(/var/lib/[\w-]+)",
        (
            *("Dockerfile", "compose.yaml", "deploy/image_env.py", f"{SCRIPTS}/start_docker.sh"),
            *(f"{HOST}/carprice.service", f"{K8S}/deployment.yaml"),
        ),
        ignored=("/var/lib/apt", "/var/lib/grafana", "/var/lib/postgresql"),
    ),
    "folder of the secrets": Fact(
        SECRETS_FOLDER.as_posix(),
        r"(?:target=|mountPath: |ContainerPath: )(/run/[\w/]+)",
        (f"{SCRIPTS}/start_docker.sh", f"{HOST}/carprice.service", f"{K8S}/deployment.yaml"),
    ),
    "alias in the registry": Fact(
        PRODUCTION,
        r"\"(\w+)\" in one\[\"aliases\"\]|models:/[\w-]+@(\w+)",
        ("deploy/rollback.sh", ".github/workflows/ci.yml", ".github/workflows/retrain.yml"),
    ),
    "registered model": Fact(
        Settings().register_.name,
        r"CARPRICE_MODEL_NAME=(\S+)|\n  ModelName:\n(?:    .*\n)*?    Default: (\S+)",
        ("deploy/service.env", ECS, f"{HOST}/service.env", f"{K8S}/service.env"),
    ),
    "seconds between looks into the registry": Fact(
        SETTINGS["CARPRICE_POLL_SECONDS"],
        r"CARPRICE_POLL_SECONDS(?:=|: \")(\d+)|\n  PollSeconds:\n(?:    .*\n)*?    Default: (\d+)",
        ("deploy/service.env", ECS, f"{HOST}/service.env", f"{K8S}/service.env"),
        {"compose.yaml": ("15",)},  # for whoever looks on
    ),
    "seconds of the drain": Fact(
        f"{ServiceSettings.model_fields['drain_seconds'].default:.0f}",
        r"CARPRICE_DRAIN_SECONDS(?:=|, Value: \")(\d+)|preStop:\s+sleep: \{seconds: (\d+)\}",
        (ECS, f"{K8S}/deployment.yaml", f"{K8S}/service.env"),
        {f"{LAMBDA}/Dockerfile": ("0",)},  # nothing runs between two invocations
    ),
    "seconds until a stopped container is killed": Fact(
        STOP_SECONDS,
        r"\bstop -t (\d+)|--stop-timeout (\d+)|StopTimeout: (\d+)"
        r"|stop_grace_period: (\d+)s",
        (
            *(f"{SCRIPTS}/start_docker.sh", f"{SCRIPTS}/stop_docker.sh", ECS, "compose.yaml"),
            f"{HOST}/carprice.service",
        ),
    ),
    "seconds of deregistration": Fact(
        "30", r"deregistration_delay\.timeout_seconds, Value: \"(\d+)", (TEMPLATE, ECS)
    ),
    "idle seconds of the load balancer": Fact(
        "60", r"idle_timeout\.timeout_seconds, Value: \"(\d+)", (TEMPLATE, ECS)
    ),
    "memory": Fact(
        MEMORY,
        r"--memory (\w+)|\n      Memory: \"(\d+)\"|limits: \{.*?memory: (\w+)|mem_limit: (\w+)",
        (ECS, f"{HOST}/carprice.service", f"{K8S}/deployment.yaml", "compose.yaml"),
    ),
    "MiB of temporary files": Fact(
        "64",
        r"(?:--tmpfs |tmpfs: \[\")/\w+:\S*size=(\d+)m|ContainerPath: /tmp, Size: (\d+)"
        r"|medium: Memory, sizeLimit: (\d+)Mi",
        (
            *(f"{SCRIPTS}/start_docker.sh", f"{HOST}/carprice.service", "compose.yaml"),
            f"{K8S}/deployment.yaml",
        ),
        {ECS: ("192",)},  # the models, too
    ),
    "prefix of the parameters": Fact(
        "carprice", r"ssm:/(\w+)/", ("deploy/service.env",), ignored=("name",)
    ),
    "prefix of the bundles": Fact(
        "carprice-bundles",
        r"[}>]/(carprice-\w*s)/\*",
        ("deploy/cloudformation/access.yaml", TEMPLATE),
        {SAGEMAKER: ("carprice-models",)},
    ),
}


def files_of_the_delivery() -> Iterator[Path]:
    """Yield what is run or read by a machine, but stand-ins, locks and pages."""
    for name in ("appspec.yml", "Dockerfile", "compose.yaml", "deploy", ".github"):
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inside = file.relative_to(ROOT).parts
            if inside[0] == "deploy" and inside[1] in WITHOUT_FACTS:
                continue
            if file.is_file() and "__pycache__" not in inside and file.suffix != ".md":
                yield file


TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in files_of_the_delivery()
}


def mebibytes(text: str) -> str:
    """Return ``1g`` or ``1Gi`` as a number of MiB, any other text as it is."""
    found = re.fullmatch(r"(\d+)([gG]i?|[mM]i?)", text)
    return text if found is None else str(int(found[1]) * (1024 if found[2][0] in "gG" else 1))


def values(fact: Fact, text: str) -> set[str]:
    """Return the values with which a fact is written in a text."""
    found = {next(filter(None, match.groups())) for match in re.finditer(fact.looks, text)}
    return {mebibytes(one) for one in found} - set(fact.ignored)


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_the_same_wherever_it_is_written(name: str) -> None:
    fact = FACTS[name]
    wanted = {file: {fact.value} for file in fact.places}
    wanted |= {file: set(right) for file, right in fact.other.items()}
    found = {file: values(fact, text) for file, text in TEXTS.items()}
    problems = []
    for file in sorted(wanted.keys() | {file for file, told in found.items() if told}):
        told, right = found.get(file, set()), wanted.get(file, set())
        if told == right:
            continue
        if not right:
            problems.append(f"{file} has it too ({', '.join(sorted(told))}): add it to FACTS")
        elif not told:
            problems.append(f"{file} lacks it, or writes it as {fact.looks!r} does not expect")
        else:
            problems.append(f"{file} says {', '.join(sorted(told))}, not {', '.join(right)}")
    assert not problems, f"{name}: " + "; ".join(problems)


def test_each_folder_of_the_delivery_has_facts_or_is_known_to_have_none() -> None:
    there = {path.name for path in (ROOT / "deploy").iterdir() if path.is_dir()} - {"__pycache__"}
    places = {file for fact in FACTS.values() for file in (*fact.places, *fact.other)}
    told = {place.split("/")[1] for place in places if place.startswith("deploy/")}
    assert there >= WITHOUT_FACTS
    assert there - WITHOUT_FACTS - {"infrastructure"} <= told, "add its port, paths and limits"


def test_the_code_says_the_same() -> None:
    assert HEALTH[:3] == ("/", "/ready", "/live")
    assert {"/ping", "/health"} <= set(HEALTH)
    assert scoring._PATH == "/invocations"
    assert serve._PORT == DEFAULT_PORT
    assert SETTINGS["PORT"] == str(DEFAULT_PORT)
    asked = re.findall(r'request\("GET", "(.*?)"\)', text_of("api/healthcheck.py"))
    assert asked == [HEALTH[0]]
    assert posixpath.dirname(LOG_FOLDER) == STATE
    assert posixpath.basename(LOG_FOLDER) == prediction_log._SPOOL


def test_who_waits_for_the_service_waits_longer_than_it_takes() -> None:
    """To stop, and to close an idle connection, so that it is never the other one who does."""
    assert int(STOP_SECONDS) > draining._LAST_SECONDS
    drains = FACTS["seconds of the drain"]
    assert int(drains.value) < draining._LONGEST_SECONDS <= draining._LAST_SECONDS
    idle = FACTS["idle seconds of the load balancer"]
    assert int(idle.value) < server._KEEP_ALIVE_SECONDS
    for file, text in TEXTS.items():
        for seconds in re.findall(r"terminationGracePeriodSeconds: (\d+)", text):
            assert int(seconds) > int(drains.value) + draining._LAST_SECONDS, file
        for seconds in re.findall(r"TimeoutStopSec=(\d+)", text):
            assert int(seconds) > int(STOP_SECONDS), file


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_pages_say_the_same() -> None:
    routes = "predict|appraise|explain|invocations|ping|live|ready|metrics|outcomes|v2|app|openapi"
    looks = (
        rf"(?:localhost|127\.0\.0\.1)(?::|\", )(\d+)/(?:{routes})\b|--publish (\d+):"
        r"|target group, HTTP (\d+)|\| port \| (\d+);|container port, (\d+);"
        r"|\| `HOST`, `PORT`, .*? \| [\d.]+, (\d+),"
    )
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    written = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        ports = [next(filter(None, found)) for found in re.findall(looks, text)]
        right = SAGEMAKER_PORT if "sagemaker" in page.parts else str(DEFAULT_PORT)
        assert set(ports) <= {right}, page
        assert not re.search(r"(?i)health checks? `GET /\w", text), page
        users = re.findall(r"\b(?:as|of)\s+user\s+`?(\d+)", text)
        assert set(users) <= {USER}, page
        written += ports + users
    assert len(written) > 10


def test_nothing_names_a_region_or_an_account() -> None:
    region = re.compile(r"\b(?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-gov|-iso\w?)?-[a-z]+-\d\b")
    account = re.compile(r"(?<![\w-])\d{12}(?![\w-])|\d{12}\.dkr")
    for file, text in TEXTS.items():
        if file == "compose.yaml":
            continue  # its stand-in for S3 wants some region, whichever
        assert not region.search(text), file
        assert not account.search(text), file
