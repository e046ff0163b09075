import json
from collections.abc import Iterator
from typing import Any

import asking
import pytest
from asking import BARE, post, prices_of
from fastapi.testclient import TestClient
from pydantic_core import to_json

from api.app import create_app
from api.protocols.messages import InferenceResponse, ModelMetadata
from api.service_settings import ServiceSettings
from carprice.schema import example_listing

MODEL = "/v2/models/used-car-price"
FULL = {**BARE, "variant": "SX 1.6 CRDI", "fuelType": "Diesel", "powerBhp": 126.2, "ownership": 2}
ODD = {**BARE, "make": "Trabant", "listedOn": "2024-11-30"}
ROWS = [FULL, ODD, BARE]
PRICES = ("predictedPrice", "priceLow", "priceHigh")


def datatype(values: list[Any]) -> str:
    given = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in given):
        return "BYTES"
    return "INT64" if all(isinstance(value, int) for value in given) else "FP64"


def tensor(name: str, values: list[Any], **other: Any) -> dict[str, Any]:
    return {
        "name": name,
        "shape": [len(values)],
        "datatype": datatype(values),
        "data": values,
        **other,
    }


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [tensor(name, [row.get(name) for row in rows]) for name in names]


def infer(client: TestClient, inputs: object, path: str = MODEL, **other: Any) -> Any:
    return post(client, f"{path}/infer", {"inputs": inputs, **other})


def outputs(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    InferenceResponse.model_validate_json(answer.content)
    return {one["name"]: one["data"] for one in answer.json()["outputs"]}


def alone(client: TestClient, rows: list[dict[str, Any]], **query: Any) -> dict[str, Any]:
    answers = prices_of(client, rows, **query)
    names = (*PRICES, "valuationDate", "warnings")
    return {name: [answer[name] for answer in answers] for name in names}


def told(answer: Any) -> dict[str, Any]:
    found = outputs(answer)
    return {**found, "warnings": [json.loads(text) for text in found["warnings"]]}


def refused(answer: Any, status: int, kind: str) -> str:
    content = asking.refused(answer, status, kind)
    assert content["error"] == content["detail"]
    return content["detail"]


@pytest.mark.parametrize("rows", [[FULL], ROWS, ROWS * 10], ids=len)
@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/7"])
def test_each_listing_gets_the_price_that_predict_gives(
    client: TestClient, rows: list[dict[str, Any]], path: str
) -> None:
    answer = infer(client, tensors(rows), path)
    assert told(answer) == alone(client, rows)
    content = answer.json()
    assert (content["model_name"], content["model_version"]) == ("used-car-price", "7")
    assert content["parameters"] == {"confidence": 0.9, "currency": "INR"}
    assert "id" not in content
    assert [(one["datatype"], one["shape"]) for one in content["outputs"]] == [
        *[("FP64", [len(rows)])] * 3,
        *[("BYTES", [len(rows)])] * 2,
    ]


def changed(name: str, /, **change: Any) -> list[dict[str, Any]]:
    return [
        {**one, **change} if one["name"] == name else one for one in tensors([{**BARE, "seats": 5}])
    ]


@pytest.mark.parametrize(
    "inputs",
    [
        changed("seats"),
        changed("odometer", datatype="FP32", data=[61000.0]),
        changed("odometer", datatype="INT32", data=[61000.0]),
        changed("odometer", datatype="UINT64"),
        changed("year", datatype="FP64", data=[2018.0]),
        changed("make", shape=[1, 1]),
        changed("make", shape=[1, 1], data=[["Hyundai"]]),
        changed("make", shape=[1.0]),
        changed("make", parameters={"content_type": "str"}),
        [*changed("seats"), tensor("fuel_type", [""])],
        [
            *changed("seats"),
            tensor("fuelType", [None]),
            tensor("ownership", [None], datatype="INT64"),
        ],
        [*changed("seats"), tensor("road_tax", [None], datatype="FP64")],
        changed("seats")[::-1],
    ],
    ids=lambda inputs: json.dumps(inputs)[-60:],
)
def test_forms_of_the_same_listing_get_the_same_price(
    client: TestClient, inputs: list[dict[str, Any]]
) -> None:
    assert told(infer(client, inputs)) == alone(client, [{**BARE, "seats": 5}])


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ([tensor("features", ["Bluetooth|Tpms"])], {"features": ["Bluetooth", "Tpms"]}),
        ([tensor("features", ["Bluetooth, Tpms"])], {"features": ["Bluetooth", "Tpms"]}),
        ([tensor("fuel_type", ["Diesel"]), tensor("power_bhp", [126.2])],
         {"fuelType": "Diesel", "powerBhp": 126.2}),
        ([tensor("seats", [float("nan")], datatype="FP64")], {}),
    ],
)  # fmt: skip
def test_tensors_say_what_a_listing_says(
    client: TestClient, more: list[dict[str, Any]], same: dict[str, Any]
) -> None:
    assert told(infer(client, [*tensors([BARE]), *more])) == alone(client, [{**BARE, **same}])


def test_the_id_comes_back(client: TestClient) -> None:
    for name in ("42", ""):
        assert infer(client, tensors([BARE]), id=name).json()["id"] == name


def test_the_request_chooses_the_outputs(client: TestClient) -> None:
    every = outputs(infer(client, tensors([BARE]), outputs=[]))
    assert list(every) == [*PRICES, "valuationDate", "warnings"]
    names = ["warnings", "predictedPrice", "warnings"]
    chosen = infer(
        client,
        tensors([BARE]),
        outputs=[{"name": name, "parameters": {"binary_data": False}} for name in names],
    )
    assert list(outputs(chosen)) == names[:2]
    assert outputs(chosen).items() <= every.items()


def test_the_answer_is_written_in_pieces(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step holds the interpreter for long."""
    pieces = []

    def record(content: Any) -> bytes:
        pieces.append(to_json(content))
        return pieces[-1]

    for module in ("batch_pool", "protocols.tensors", "protocols.inference"):
        monkeypatch.setattr(f"api.{module}.to_json", record)
    answer = infer(client, tensors([{**BARE, "color": "\\" * 190}] * 2_000))
    assert len(outputs(answer)["warnings"]) == 2_000
    assert max(map(len, pieces)) < len(answer.content) / 3


def test_a_confidence_is_taken(client: TestClient) -> None:
    for query, parameters, expected in (
        ("", {"confidence": 0.8}, 0.8),
        ("?confidence=0.6", {"confidence": 0.8, "content_type": "pd"}, 0.8),
        ("?confidence=0.6", {}, 0.6),
    ):
        body = {"inputs": tensors([FULL]), "parameters": parameters}
        answer = post(client, f"{MODEL}/infer{query}", body)
        assert told(answer) == alone(client, [FULL], confidence=expected)
        assert answer.json()["parameters"]["confidence"] == expected


def test_no_listings_are_answered_with_empty_tensors(client: TestClient) -> None:
    inputs = [tensor(name, [], datatype=datatype([value])) for name, value in BARE.items()]
    assert outputs(infer(client, inputs))["predictedPrice"] == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (changed("make", data=["Kia", "Kia"]), "tensor make: the shape is [1], the data has 2"),
        (changed("seats", shape=[2]), "tensor seats: the shape is [2]; it must be [n] or [n, 1]"),
        (changed("seats", shape=[]), "tensor seats: the shape is []"),
        (changed("seats", shape=[1, 1, 1]), "tensor seats: the shape is [1, 1, 1]"),
        (changed("seats", shape=[True]), "tensor seats: the shape is [True]"),
        (changed("make", shape=[-1]), "tensor make: the shape is [-1], the data has 1"),
        (changed("seats", data=[[5]]), "tensor seats: value 0 is no INT64: '[5]'"),
        (changed("seats", datatype="BYTES", data=["5"]),
         "tensor seats: the datatype is 'BYTES'; it must be FP64 or FP32"),
        (changed("make", datatype="FP64"), "tensor make: the datatype is 'FP64'; it must be BYTES"),
        (changed("make", datatype="STRING"), "the datatype is 'STRING'; it must be BYTES"),
        (changed("make", data=[5]), "tensor make: value 0 is no BYTES: '5'"),
        (changed("seats", data=["5"]), "tensor seats: value 0 is no INT64: '5'"),
        (changed("seats", data=[True]), "tensor seats: value 0 is no INT64: 'True'"),
        (changed("seats", data=[4.5]), "tensor seats: value 0 is no INT64: '4.5'"),
        (changed("year", datatype="FP64", data=[2018.5]), "tensor year[0]: Input should be a"),
        (changed("odometer", data=[-1]), "tensor odometer[0]: Input should be greater than"),
        (changed("odometer", data=[None]), "tensor odometer[0]: this field is required"),
        (changed("make", data=[""]), "tensor make[0]: this field is required"),
        (changed("seats", name="seat"), "tensor seat: there is no such tensor; did you"),
        (changed("seats", name="make"), "tensor make: is there more than once"),
        ([*changed("seats"), tensor("fuelType", ["a"]), tensor("fuel_type", ["a"])],
         "tensor fuel_type: is there more than once"),
        (tensors([BARE])[1:], "tensor make: this tensor is required"),
        ([], "tensor odometer: this tensor is required"),
        (None, "inputs: Input should be a valid list"),
        ([5], "inputs.0"),
        ([{"name": "make"}], "inputs.0.data: this field is required"),
        (changed("make", values=[]), "inputs.0.values: there is no such field"),
    ],
    ids=lambda part: str(part)[-60:],
)  # fmt: skip
def test_what_is_wrong_names_its_tensor(client: TestClient, inputs: object, words: str) -> None:
    assert words in refused(infer(client, inputs), 422, "invalid-listing")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"outputs": [{"name": "price"}]}, "outputs.0.name: Input should be 'predictedPrice'"),
        ({"outputs": [{"name": "priceLow", "parameters": {"binary_data": True}}]},
         "binary tensors are not spoken here; ask for JSON"),
        ({"parameters": {"binary_data_output": True}}, "binary tensors are not spoken here"),
        ({"parameters": {"confidence": 2}}, "parameters.confidence: Input should be less than"),
        ({"parameters": {"confidance": 0.8}}, "parameters.confidance: there is no such"),
        ({"id": 5}, "id: Input should be a valid string"),
        ({"id": None}, "id: Input should be a valid string"),
        ({"model": "x"}, "model: there is no such field"),
    ],
    ids=lambda part: str(part)[:50],
)  # fmt: skip
def test_what_is_wrong_beside_the_tensors_is_named(
    client: TestClient, other: dict[str, Any], words: str
) -> None:
    assert words in refused(infer(client, tensors([BARE]), **other), 422, "invalid-listing")


def test_of_very_many_wrong_tensors_and_rows_the_first_are_named(client: TestClient) -> None:
    many = refused(
        infer(client, [tensor(f"x{n}", []) for n in range(5000)]), 422, "invalid-listing"
    )
    assert "tensor x24: there is no such tensor" in many
    assert "x25" not in many
    rows = refused(infer(client, tensors([{**BARE, "year": 5}] * 5000)), 422, "invalid-listing")
    assert "tensor year[9]" in rows
    assert "year[10]" not in rows


def test_bodies_that_are_no_requests_are_refused(client: TestClient) -> None:
    for body in (b"", b"{", b"[]", b"5"):
        refused(client.post(f"{MODEL}/infer", content=body), 422, "malformed-body")
    twice = b'{"inputs": [], "id": "1", "id": "2"}'
    refused(client.post(f"{MODEL}/infer", content=twice), 422, "invalid-listing")


def test_the_binary_extension_is_refused(client: TestClient) -> None:
    for headers in (
        {"Content-Type": "application/octet-stream"},
        {"Inference-Header-Content-Length": "10"},
    ):
        answer = post(client, f"{MODEL}/infer", {"inputs": tensors([BARE])}, **headers)
        refused(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v2/models/other", "the one served is 'used-car-price'"),
        (f"{MODEL}/versions/8", "version '8' of used-car-price is not served; version '7' is"),
    ],
)
def test_other_models_and_versions_are_not_found(client: TestClient, path: str, words: str) -> None:
    for answer in (client.get(path), client.get(f"{path}/ready"), infer(client, [], path)):
        assert words in refused(answer, 404, "not-found")


def test_the_limits_of_batches_hold(client_with: Any) -> None:
    with client_with(batch_rows=3) as client:
        refused(infer(client, tensors([BARE] * 4)), 413, "request-too-large")
        huge = [tensor("make", ["Kia"], shape=[10**30])]
        refused(infer(client, huge), 413, "request-too-large")
        assert infer(client, tensors([BARE] * 3)).status_code == 200


def test_server_and_model_describe_themselves(client: TestClient) -> None:
    server = client.get("/v2").json()
    assert (server["name"], server["extensions"]) == ("carprice", [])
    assert client.get("/v2/").json() == server
    for path in (MODEL, f"{MODEL}/versions/7"):
        metadata = ModelMetadata.model_validate_json(client.get(path).content)
        assert (metadata.name, metadata.versions) == ("used-car-price", ["7"])
        datatypes = {one.name: one.datatype for one in metadata.inputs}
        assert list(datatypes)[:4] == ["make", "model", "year", "odometer"]
        assert (datatypes["make"], datatypes["year"], datatypes["odometer"]) == (
            "BYTES",
            "INT64",
            "FP64",
        )
        assert client.get(f"{path}/ready").json() == {"name": "used-car-price", "ready": True}


def test_a_request_made_from_the_metadata_gets_a_price(client: TestClient) -> None:
    listing = {**example_listing(), "features": "Bluetooth|AlloyWheels"}
    inputs = [
        {**one, "shape": [1], "data": [listing.get(one["name"])]}
        for one in client.get(MODEL).json()["inputs"]
    ]
    assert told(infer(client, inputs)) == alone(client, [example_listing()])


def test_health_tells_whether_there_is_a_model(
    client: TestClient, settings: ServiceSettings
) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    with TestClient(create_app(settings)) as empty:
        assert empty.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", MODEL, f"{MODEL}/ready"):
            refused(empty.get(path), 503, "no-model")
        refused(infer(empty, []), 503, "no-model")


@pytest.fixture
def http() -> Iterator:
    import httpx

    with httpx.Client(timeout=30) as http:
        yield http


def test_a_client_of_the_protocol_gets_the_right_prices(running: Any, http: Any) -> None:
    from open_inference.openapi import InferenceRequest, NotFoundError
    from open_inference.openapi.client import OpenInferenceClient

    client = OpenInferenceClient(base_url=running.url, httpx_client=http)
    client.check_server_liveness()
    client.check_server_readiness()
    assert client.read_server_metadata().name == "carprice"
    name = "used-car-price"
    (version,) = client.read_model_metadata(name).versions
    client.check_model_readiness(name)
    client.check_model_version_readiness(name, version)
    with pytest.raises(NotFoundError, match="the one served is 'used-car-price'"):
        client.check_model_readiness("other")
    rows = [FULL, {**FULL, "make": "Kia", "variant": ""}]  # the client has no null
    request = InferenceRequest.parse_obj(
        {"id": "42", "inputs": tensors(rows), "outputs": [{"name": "predictedPrice"}]}
    )
    rows[1] = {**rows[1], "variant": None}
    expected = [running.post("/predict", row)[1]["predictedPrice"] for row in rows]
    for answer in (
        client.model_infer(name, request=request),
        client.model_version_infer(name, version, request=request),
    ):
        assert (answer.id, answer.model_name, answer.model_version) == ("42", name, version)
        (output,) = answer.outputs
        assert (output.name, output.shape, output.data.__root__) == (
            "predictedPrice",
            [2],
            expected,
        )
