"""``deploy/monitoring``: checked by Prometheus' own tool, Grafana's own types and the service."""

import datetime
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from asking import BARE
from fastapi.testclient import TestClient
from monitored import found

from api import challenger, watch
from api.app import create_app
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice.files import write_json
from carprice.model import PriceModel
from carprice.monitoring import prediction_log
from carprice.monitoring.last_run import to_json

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
PROMTOOL = shutil.which("promtool")
NAME = re.compile(r"\bcarprice_\w+")
NOW = datetime.datetime(2026, 9, 29, 6, 0, tzinfo=datetime.UTC)


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


@pytest.fixture(scope="module")
def exposed(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What ``/metrics`` of a service says whose every part has something to tell."""
    folder = tmp_path_factory.mktemp("exposed")
    write_json(folder / "monitoring.json", to_json(found(), NOW))
    settings = ServiceSettings(
        tracking_uri="http://127.0.0.1:9",
        model_cache=folder / "cache",
        monitoring=str(folder / "monitoring.json"),
        challenger="shadow",
    )
    served = ServedModel.of(PriceModel.load(finished[0].model), "7")
    with TestClient(create_app(settings, served)) as client:
        assert client.post("/predict", json=BARE).status_code == 200
        return client.get("/metrics").text


def names(exposed: str) -> set[str]:
    """Return the names of a service's metrics, those of histograms with their endings."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", exposed, re.MULTILINE))
    endings = {"histogram": ("_bucket", "_sum", "_count")}
    return {f"{name}{end}" for name, kind in kinds.items() for end in endings.get(kind, ("",))}


def test_every_metric_of_the_rules_is_one_of_the_service(exposed: str) -> None:
    used = {name for rule in RULES for name in NAME.findall(rule["expr"])}
    assert len(used) >= 10
    assert used - names(exposed) == set()


def test_every_metric_of_the_dashboard_is_one_of_the_service(exposed: str) -> None:
    used = {name for query in queries() for name in NAME.findall(query)}
    assert len(used) >= 20
    assert used - names(exposed) == set()


def test_every_metric_of_the_service_is_on_the_dashboard_or_documented(exposed: str) -> None:
    docs = [ROOT / "docs" / name for name in ("service.md", "challenger.md")]
    told = " ".join([*queries(), *(path.read_text(encoding="utf-8") for path in docs)])
    endings = re.compile(r"_(bucket|sum|count|created)$")
    own = {endings.sub("", name) for name in names(exposed) if name.startswith("carprice_")}
    assert [name for name in own if name not in told] == []


def test_the_reasons_and_states_that_are_tried_are_those_of_the_service() -> None:
    text = "".join((FOLDER / name).read_text() for name in ("rules.yml", "rules_test.yml"))
    found = set(re.findall(r'(carprice_\w+)\{[^}]*\b(?:reason|state)="(\w+)"', text))
    real = {
        "carprice_prediction_log_dropped_total": get_args(prediction_log.Reason),
        "carprice_challenger_dropped_total": get_args(watch.Reason),
        "carprice_challenger_state": get_args(challenger.State),
    }
    assert {name for name, _ in found} == {*real}
    assert [(name, value) for name, value in found if value not in real[name]] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_grave_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["alert"].startswith("Carprice")
    # promtool's tests try each.
    assert rule["alert"] in (FOLDER / "rules_test.yml").read_text(encoding="utf-8")


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_own_tool_finds_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(PROMTOOL), *command], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)
def test_prometheus_own_tool_likes_what_the_service_tells(exposed: str) -> None:
    command = [str(PROMTOOL), "check", "metrics"]
    done = subprocess.run(command, input=exposed, capture_output=True, text=True, check=False)
    # What it would have named otherwise is told, and no error: exit code 3.
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "error" not in done.stderr.lower()


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)
@pytest.mark.parametrize(("made", "code"), [("{}", 0), ("sum({}", 1)])
def test_prometheus_own_tool_reads_every_query_of_the_dashboard(
    made: str, code: int, tmp_path: Path
) -> None:
    asked = [query for query in queries() if not query.startswith("label_values(")]
    filled = [one.replace("$__rate_interval", "5m").replace("$job", "carprice") for one in asked]
    assert not [one for one in filled if "$" in one]
    rules = [
        {"record": f"query:{place}", "expr": made.format(one) if place == 0 else one}
        for place, one in enumerate(filled)
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [str(PROMTOOL), "check", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr


def test_the_dashboard_is_what_grafanas_own_types_hold() -> None:
    """Whatever Grafana does not know is lost on the way through its types."""
    pytest.importorskip("grafana_foundation_sdk")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    again = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(Dashboard.from_json(DASHBOARD)))
    assert list(lost(DASHBOARD, again)) == []
    assert list(lost({**DASHBOARD, "tilte": 1}, again)) == [".tilte"]


def lost(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yield where something is that is not there afterwards, or is another."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            yield from lost(value, after.get(name, lost), f"{place}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif before != after:
        yield place


def test_panels_have_places_of_their_own_and_the_chosen_data_source() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {
            (at["x"] + across, at["y"] + down)
            for across in range(at["w"])
            for down in range(at["h"])
        }
        assert not own & cells, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["refId"]
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "job"]


def test_the_readme_names_every_file() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    missing: Callable[[Path], bool] = lambda path: f"`{path.name}`" not in readme  # noqa: E731
    others = [path for path in FOLDER.iterdir() if path.name != "README.md"]
    assert list(filter(missing, others)) == []
