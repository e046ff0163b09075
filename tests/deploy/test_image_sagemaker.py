"""The image as SageMaker runs it: `IMAGE serve`, a package unpacked to /opt/ml/model."""

import csv
import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cfnlint.decode.cfn_yaml
import pytest
import requests
from containers import LISTING, Container, running
from sagemaker.package import main

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = cfnlint.decode.cfn_yaml.load(ROOT / "deploy" / "sagemaker" / "template.yaml")
LISTINGS = [LISTING, {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000}]
TABLE = b"make,model,year,odometer\nHyundai,Creta,2018,61000\nMaruti,Swift,2019,42000\n"


@pytest.fixture(scope="module")
def endpoint(
    image: str, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("sagemaker")
    assert main([str(model_folder), "--out", str(folder / "model.tar.gz")]) == 0
    (folder / "model").mkdir(mode=0o755)
    with tarfile.open(folder / "model.tar.gz") as archive:
        archive.extractall(folder / "model", filter="data")
    told = TEMPLATE["Resources"]["ProductionModel"]["Properties"]["PrimaryContainer"]["Environment"]
    environment = {name: text for name, text in told.items() if name != "PORT"}
    mounted = f"--volume={folder / 'model'}:/opt/ml/model:ro"
    port = "SAGEMAKER_BIND_TO_PORT"  # PORT, which the template sets, is that of one container alone
    options = {"command": ("serve",), "port_variable": port, "environment": environment}
    with running(image, mounted, **options) as container:
        yield container


def invoke(endpoint: Container, body: bytes, kind: str, accept: str = "*/*") -> requests.Response:
    """Ask as InvokeEndpoint has it asked."""
    headers = {"Content-Type": kind, "Accept": accept, "X-Amzn-SageMaker-Custom-Attributes": "a"}
    return endpoint.request("POST", "/invocations", body, headers)


def prices(endpoint: Container) -> list[float]:
    return [endpoint.ask("/predict", listing).json()["predictedPrice"] for listing in LISTINGS]


def test_a_ping_is_answered_without_a_body_and_no_registry_is_asked(endpoint: Container) -> None:
    answers = [endpoint.request("GET", "/ping") for _ in range(5)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"")}
    assert min(answer.elapsed.total_seconds() for answer in answers) < 2  # what SageMaker waits
    health = endpoint.health()
    assert (health["source"], health["detail"]) == ("image", None)
    assert "egistry" not in endpoint.log


def test_rows_of_json_and_csv_get_the_prices_of_predict(endpoint: Container) -> None:
    expected = prices(endpoint)
    sent = b'{"instances": %s}' % str(LISTINGS).replace("'", '"').encode()
    for body, kind in ((sent, "application/json"), (TABLE, "text/csv")):
        answer = invoke(endpoint, body, kind)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        assert [row["predictedPrice"] for row in answer.json()["predictions"]] == expected
        answer = invoke(endpoint, body, kind, "text/csv")
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows = csv.DictReader(io.StringIO(answer.text))
        assert [float(row["predictedPrice"]) for row in rows] == expected


def test_a_table_without_a_header_and_an_unknown_type_are_refused(endpoint: Container) -> None:
    """A caller reads the answer in ModelError's OriginalMessage."""
    _, _, rows = TABLE.partition(b"\n")
    bare = invoke(endpoint, rows, "text/csv")
    assert bare.status_code == 422
    assert "Hyundai" in bare.text
    assert invoke(endpoint, TABLE, "application/octet-stream").status_code == 415


def test_many_ask_at_once_and_sigterm_ends_it(endpoint: Container) -> None:
    expected = prices(endpoint)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(invoke, endpoint, TABLE, "text/csv") for _ in range(40)]
        answers = [one.result() for one in asked]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert [row["predictedPrice"] for row in answer.json()["predictions"]] == expected
    assert endpoint.stop() == 0
    assert "Application shutdown complete" in endpoint.log
