"""A market's own columns, from its file to the price."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from forged import forged

from api.app import create_app
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice import CarpriceWarning, InputError, PriceRegressor, load_sample
from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.predict import predict
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.eda.findings import examine
from carprice.errors import CorruptModelError
from carprice.evaluation.champion import learned_cars, score_pair
from carprice.experiments.candidates import COMPARED
from carprice.experiments.estimators import fit
from carprice.listings.column_map import map_columns
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns, read_features
from carprice.listings.mapping.choosing import propose
from carprice.listings.own import with_own
from carprice.listings.sources.chunks import Chunk
from carprice.model import PriceModel
from carprice.pyfunc import PricePyfunc
from carprice.schema import Listing, example_listing
from carprice.settings import Settings, TrainSettings

EXTRA = {"accident": "flag", "doors": "number", "steering": "category"}
OWN = ("category:steering", "flag:accident", "number:doors")
TRAIN = {"folds": 3, "booster": {"n_estimators": 40, "max_depth": 4, "learning_rate": 0.1}}


def market(rows: int = 1500) -> pd.DataFrame:
    """Return the sample market; an accident takes 15 % off the price, the rest says nothing."""
    cars, chance = load_sample(rows, seed=7), np.random.default_rng(3)
    had = chance.random(len(cars)) < 0.2
    cars["listingPrice"] = cars["listingPrice"].where(~had, cars["listingPrice"] * 0.85)
    cars["accident"] = np.where(had, "Ja", "nein")
    cars["Number of doors"] = chance.choice(["2 doors", "3", "4", "5 doors"], len(cars))
    cars["steering"] = chance.choice(["Left", " left", "RIGHT"], len(cars))
    return cars


def settings(source: Path, **ingesting: Any) -> Settings:
    columns = {"doors": {"from": "Number of doors", "match": r"(\d+)"}}
    content = {"source": str(source), "extra": EXTRA, "columns": columns, **ingesting}
    return Settings.model_validate({"ingest": content, "train": TRAIN})


def learned(folder: Path, cars: pd.DataFrame, **ingesting: Any) -> PriceModel:
    cars.to_csv(folder / "cars.csv", index=False)
    told, workspace = settings(folder / "cars.csv", **ingesting), Workspace(folder)
    ingest(told.ingest, workspace, quiet)
    transform(workspace)
    return train(told.train, workspace, quiet)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("own")
    learned(folder, market())
    return Workspace(folder)


@pytest.fixture(scope="module")
def model(workspace: Workspace) -> PriceModel:
    return PriceModel.load(workspace.model)


@pytest.fixture(scope="module")
def cars(workspace: Workspace) -> list[dict[str, Any]]:
    return [*listings_of(as_columns(pd.read_parquet(workspace.test_listings)))]


def with_each(cars: list[dict[str, Any]], **values: Any) -> list[dict[str, Any]]:
    return [{**car, **values} for car in cars]


def test_they_are_read_cleaned_and_reported(workspace: Workspace) -> None:
    listings = pd.read_parquet(workspace.train_listings)
    assert {*listings["flag:accident"]} == {"yes", "no"}
    assert {*listings["number:doors"]} == {2.0, 3.0, 4.0, 5.0}
    assert {*listings["category:steering"]} == {"Left", "left", "RIGHT"} - {" left"}
    report = json.loads(workspace.report.read_text(encoding="utf-8"))
    assert report["columns"]["doors"] == "Number of doors"
    assert report["missing"]["accident"] == 0
    assert "accident" not in [column["name"] for column in report["ignored_columns"]]


def test_the_effect_of_a_flag_is_found_and_that_of_noise_is_small(
    model: PriceModel, cars: list[dict[str, Any]]
) -> None:
    def price(**values: Any) -> Any:
        return model.pricer.prices(with_each(cars, **values)).price

    assert model.own == OWN
    assert np.median(price(accident=True) / price(accident=False)) == pytest.approx(0.85, abs=0.02)
    assert np.median(price(doors=5.0) / price(doors=2.0)) == pytest.approx(1, abs=0.03)
    assert np.median(price(steering="left") / price(steering="right")) == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(price(accident=True), price(accident="yes"))
    np.testing.assert_array_equal(price(steering="LEFT"), price(steering="left"))


def test_reasons_tell_of_them_and_multiply_to_the_price(
    model: PriceModel, cars: list[dict[str, Any]]
) -> None:
    had, had_none = (model.pricer.explain({**cars[0], "accident": one}) for one in (True, False))
    factors = [{one.name: one.factor for one in told.reasons} for told in (had, had_none)]
    ratio = factors[0]["own columns"] / factors[1]["own columns"]
    assert ratio == pytest.approx(0.85, abs=0.02)
    assert np.prod([*factors[0].values()]) * had.start == pytest.approx(had.price)


def test_what_training_never_had_is_told_and_what_is_unknown_widens_the_range(
    model: PriceModel, cars: list[dict[str, Any]]
) -> None:
    car = {**cars[0], "accident": False, "doors": 4.0, "steering": "left"}
    known = model.pricer.value(car)
    odd = model.pricer.value({**car, "doors": 99.0, "steering": "middle"})
    told = [(one.kind, one.field) for one in odd.cautions]
    assert told == [("unseen_value", "steering"), ("out_of_range", "doors")]
    assert "known: left, right" in odd.cautions[0].message
    at_edge = model.pricer.value({**car, "doors": 5.0, "steering": None})
    assert odd.predicted_price == at_edge.predicted_price
    for name in ("accident", "doors"):
        unknown = model.pricer.value({**car, name: None})
        widths = [one.price_high / one.price_low for one in (unknown, known)]
        assert widths[0] > widths[1]
        assert model.pricer.value({k: v for k, v in car.items() if k != name}) == unknown


def test_one_by_one_many_and_features_are_priced_alike(
    model: PriceModel, workspace: Workspace, cars: list[dict[str, Any]]
) -> None:
    some = with_each(cars[:40])
    some[3]["accident"] = some[4]["doors"] = None
    one_by_one = [model.pricer.value(car).predicted_price for car in some]
    together = [one.predicted_price for one in model.pricer.value_all(some)]
    assert one_by_one == together
    columns = {name: [car[name] for car in cars] for name in cars[0]}
    np.testing.assert_allclose(
        model.predict_features(model.parse(columns)).price, model.predict(columns).price, rtol=1e-6
    )


def test_a_folder_holds_them(model: PriceModel, workspace: Workspace, tmp_path: Path) -> None:
    assert model.save(tmp_path / "again") == model.digest
    stored = json.loads((tmp_path / "again" / "hedonic.json").read_text(encoding="utf-8"))
    assert tuple(stored["own"]) == OWN


@pytest.mark.parametrize(
    "own",
    [
        {"flag:odometer": []},
        {"flag:a b": []},
        {"word:accident": []},
        {"number:doors": [1, 0, 1, 1]},
        {"number:doors": []},
        {"accident": []},
        {"flag:accident": [], "category:accident": []},
    ],
)
def test_a_folder_with_odd_own_columns_is_refused(
    own: dict[str, Any], model: PriceModel, tmp_path: Path
) -> None:
    replace(model, hedonic=replace(model.hedonic, own=own)).save(tmp_path / "odd")
    with pytest.raises(CorruptModelError, match="another own than carprice writes"):
        PriceModel.load(tmp_path / "odd")


def called(name: str, workspace: Workspace, folder: Path) -> Path:
    """Return the model folder of before whose own column ``accident`` has another name."""
    texts = {path.name: path.read_text("utf-8") for path in workspace.model.glob("*.json")}
    del texts["model.json"]
    changed = {
        file: text.replace("flag:accident", f"flag:{name}").encode()
        for file, text in texts.items()
        if "flag:accident" in text
    }
    manifest = json.loads((workspace.model / "model.json").read_text("utf-8"))
    return forged(
        workspace.model,
        folder,
        changed,
        **{
            key: json.loads(json.dumps(value).replace("flag:accident", f"flag:{name}"))
            for key, value in manifest.items()
            if "flag:accident" in json.dumps(value)
        },
    )


@pytest.mark.parametrize("name", ["deal", "percentile", "difference", "perCent", "dealReason"])
def test_folders_of_before_may_have_names_that_are_taken_now(
    name: str,
    workspace: Workspace,
    model: PriceModel,
    tmp_path: Path,
    nowhere: ServiceSettings,
) -> None:
    before = PriceModel.load(called(name, workspace, tmp_path / "before"))
    assert {*before.own} == {*OWN} - {"flag:accident"} | {f"flag:{name}"}
    served = create_app(nowhere, ServedModel.of(before, "7"))
    car = {each: value for each, value in CAR.items() if each != "accident"}
    with TestClient(served) as client:
        answers = [
            client.post("/predict", json={**car, name: value, "askingPrice": 480_000}).json()
            for value in (True, False)
        ]
        text = f"make,model,year,odometer,{name},askingPrice\nHyundai,Creta,2018,61000,yes,480000\n"
        headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
        lines = client.post("/predict/batch", content=text, headers=headers).text.splitlines()
    plain = model.pricer.value(vars(with_own(Listing, model.own)(**{**CAR, "accident": True})))
    assert answers[0]["predictedPrice"] == plain.predicted_price
    assert answers[0]["predictedPrice"] < answers[1]["predictedPrice"]
    assert answers[0]["deal"]["difference"] > answers[1]["deal"]["difference"]
    assert lines[0].startswith(f"make,model,year,odometer,{name},askingPrice,predictedPrice")
    assert lines[0].endswith("problem,deal,dealReason,percentile,difference,perCent")
    assert lines[1].startswith("Hyundai,Creta,2018,61000,yes,480000,")


def test_a_folder_whose_own_column_is_called_as_the_asking_price_is_refused_with_the_remedy(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = called("askingPrice", workspace, tmp_path / "before")
    told = "own column askingPrice has the name that requests give an asking price; call it"
    with pytest.raises(CorruptModelError, match=told):
        PriceModel.load(folder)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        *(
            ({name: "number"}, f"{name} means something else in requests and answers")
            for name in (
                *("askingPrice", "asking_price", "deal", "dealReason", "dealreason"),
                *("percentile", "difference", "perCent"),
            )
        ),
        ({"odometer": "number"}, "odometer is a field of every listing; map it in ingest.columns"),
        ({"engine_cc": "number"}, "engine_cc is a field of every listing"),
        ({"Make": "category"}, "Make is a field of every listing"),
        ({"price": "number"}, "price is the price"),
        ({"listing_price": "number"}, "listing_price is the price"),
        ({"featureCount": "number"}, "featureCount means something else"),
        ({"id": "number"}, "id means something else"),
        ({"warnings": "category"}, "warnings means something else"),
        ({"copy": "flag"}, "copy means something else"),
        ({"had accident": "flag"}, "'had accident' is no name; write letters and digits"),
        ({"accident": "bool"}, "'accident' is 'bool'; its kind is one of flag, number, category"),
        ({"abs": "flag", "aBS": "flag"}, "two names that differ in capitals alone"),
        ({f"c{n}": "flag" for n in range(51)}, "has 51 columns; declare at most 50"),
    ],
)
def test_a_name_or_kind_that_cannot_be_is_refused(extra: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings.model_validate({"ingest": {"extra": extra}})


def test_a_column_that_is_not_declared_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"'accident' is not a field.*declared in ingest\.extra"):
        Settings.model_validate({"ingest": {"columns": {"accident": "Accident"}}})


def test_a_declared_column_that_the_file_lacks_is_an_error(tmp_path: Path) -> None:
    cars = market(100).rename(columns={"accident": "Accident_Free"})
    told = "no column 'accident', which ingest.extra declares.*Accident_Free"
    with pytest.raises(InputError, match=told):
        learned(tmp_path, cars)


def test_what_cannot_be_read_is_missing_counted_and_told(tmp_path: Path) -> None:
    cars = market(200)
    cars.loc[:2, "accident"] = "perhaps"
    cars.loc[3:5, "accident"] = None
    cars.to_csv(tmp_path / "cars.csv", index=False)
    report = ingest(settings(tmp_path / "cars.csv").ingest, Workspace(tmp_path), quiet)
    assert report["repaired"]["accident unreadable, made missing"] == 3
    assert report["missing"]["accident"] == 6


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (
            lambda price: (price / 60).round(),
            r"monthlyRate \(column rate\) is the price.*take month",
        ),
        (
            lambda price: price / 60 * np.random.default_rng(0).uniform(0.8, 1.25, len(price)),
            r"monthlyRate \(column rate\) explains \d\d % .*take monthlyRate out of ingest\.extra",
        ),
    ],
)
def test_a_column_that_knows_the_price_is_refused_by_name(
    rate: Callable[[pd.Series], pd.Series], told: str, tmp_path: Path
) -> None:
    cars = market()
    cars["rate"] = rate(cars["listingPrice"])
    with pytest.raises(InputError, match=told):
        learned(tmp_path, cars, extra={"monthlyRate": "number"}, columns={"monthlyRate": "rate"})


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    cache = tmp_path_factory.mktemp("none")
    return ServiceSettings(tracking_uri="http://127.0.0.1:9", model_cache=cache)


@pytest.fixture(scope="module")
def client(model: PriceModel, nowhere: ServiceSettings) -> Iterator[TestClient]:
    with TestClient(create_app(nowhere, ServedModel.of(model, "7"))) as client:
        yield client


CAR = {**example_listing(), "accident": False, "doors": 4, "steering": "left"}
CELLS = {name: value for name, value in CAR.items() if not isinstance(value, list)}


def told(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [f"{one['field']}: {one['message']}" for one in answer.json()["errors"]]


def test_the_service_prices_with_them(client: TestClient) -> None:
    def price(**values: Any) -> float:
        answer = client.post("/predict", json={**CAR, **values})
        assert answer.status_code == 200, answer.text
        return float(answer.json()["predictedPrice"])

    assert price(accident=True) / price(accident=False) == pytest.approx(0.85, abs=0.02)
    assert price(accident=True) == price(accident="yes") == price(accident=1)
    assert price(accident=None, doors=None, steering="") > 0
    reasons = client.post("/explain", json={**CAR, "accident": True}).json()["reasons"]
    (own,) = (one for one in reasons if one["name"] == "own columns")
    assert own["factor"] == pytest.approx(0.85, abs=0.03)
    answer = client.post("/predict", json={**CAR, "steering": "middle", "doors": 99}).json()
    assert [one["field"] for one in answer["warnings"]] == ["steering", "doors"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"acident": True}, "acident: there is no such field; did you mean accident?"),
        ({"flag:accident": True}, "flag:accident: there is no such field; did you mean accident?"),
        ({"accident": "maybe"}, "accident: Input should be true or false, yes or no, 1 or 0"),
        ({"accident": 2}, "accident: Input should be true or false, yes or no, 1 or 0"),
        ({"accident": [True]}, "accident: Input should be true or false, yes or no, 1 or 0"),
        ({"doors": "many"}, "doors: Input should be a valid number"),
        ({"doors": 1e300}, "doors: Input should be less than or equal to 1000000000000"),
        ({"steering": 1}, "steering: Input should be a valid string"),
    ],
)
def test_what_is_wrong_is_an_error_that_names_the_field(
    given: dict[str, Any], expected: str, client: TestClient
) -> None:
    assert told(client.post("/predict", json={**CAR, **given})) == [expected]
    (row,) = client.post("/predict/batch", json={"listings": [{**CAR, **given}]}).json()["rows"]
    assert row["problem"]["detail"].startswith(expected)


def test_the_page_asks_for_them(client: TestClient) -> None:
    asked = {**CELLS, "accident": "Yes", "steering": "left"}
    told = client.post("/predict", json={**CELLS, "accident": True}).json()["predictedPrice"]
    page = client.get("/app", params=asked)
    assert f'<p class="worth"><span data-money="{told}"' in page.text
    for shown in (
        'name="doors" value="4"',
        '<option value="yes" selected>Yes</option>',
        '<option value="left" selected>Left</option>',
        '<label for="f-steering">Steering</label>',
    ):
        assert shown in page.text
    wrong = client.get("/app", params={**asked, "accident": "perhaps", "doors": "many"})
    assert wrong.status_code == 422
    for name, found in (("accident", "perhaps"), ("doors", "many")):
        assert re.search(f'id="f-{name}-error">[^<]*\\(found &#39;{found}&#39;\\)<', wrong.text)


def test_a_name_like_none_is_told_all_fields(client: TestClient) -> None:
    (error,) = told(client.post("/predict", json={**CAR, "xyzzy": 1}))
    assert error.endswith("listedOn, steering, accident, doors")


def test_every_door_gives_the_same_price(client: TestClient, model: PriceModel) -> None:
    sent = {**CELLS, "accident": True}
    names, values = [*sent], [*sent.values()]
    as_csv = f"{','.join(names)}\n{','.join(map(str, values))}\n"
    csv_type = {"Content-Type": "text/csv"}
    tensors = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [value]}
        for name, value in sent.items()
        if (datatype := {bool: "BOOL", str: "BYTES"}.get(type(value), "FP64"))
    ]
    split = {"dataframe_split": {"columns": names, "data": [values]}}
    asked = "/v2/models/used-car-price"
    prices = [
        client.post("/predict", json=sent).json(),
        client.post("/predict/batch", json={"listings": [sent]}).json()["rows"][0]["price"],
        client.post("/predict/batch", content=as_csv, headers=csv_type).json()["rows"][0]["price"],
        *client.post("/invocations", json=split).json()["predictions"],
        *client.post("/invocations", json={"inputs": [sent]}).json()["predictions"],
        *client.post("/invocations", content=as_csv, headers=csv_type).json()["predictions"],
    ]
    (inferred, *_) = client.post(f"{asked}/infer", json={"inputs": tensors}).json()["outputs"]
    table = PricePyfunc(model).predict(pd.DataFrame([sent]))
    told = [
        *(one["predictedPrice"] for one in prices),
        *(inferred["data"][0], table["predictedPrice"][0]),
    ]
    assert len({*told}) == 1
    inputs = client.get(asked).json()["inputs"]
    assert {"name": "accident", "datatype": "BOOL", "shape": [-1]} in inputs


def test_openapi_and_the_vocabulary_are_of_the_served_model(
    client: TestClient, nowhere: ServiceSettings
) -> None:
    values = client.get("/vocabulary").json()["values"]
    assert (values["accident"], values["steering"]) == (["no", "yes"], ["left", "right"])
    assert client.get("/model").json()["trainedOn"]["doors"] == [2, 5]
    properties = client.get("/openapi.json").json()["components"]["schemas"]["ListingRequest"]
    shown = {name: properties["properties"][name] for name in EXTRA}
    assert shown["steering"]["examples"] == ["left", "right"]
    assert shown["doors"]["description"].endswith("in training from 2 to 5")
    assert {"type": "boolean"} in shown["accident"]["anyOf"]
    without = create_app(nowhere).openapi()["components"]["schemas"]["ListingRequest"]["properties"]
    assert EXTRA.keys().isdisjoint(without)
    assert {**without, **shown} == properties["properties"]


def test_a_table_with_a_wrong_value_is_refused(model: PriceModel) -> None:
    with pytest.raises(InputError, match="accident: Input should be true or false"):
        PricePyfunc(model).predict(pd.DataFrame([{**CELLS, "accident": "maybe"}]))
    columns = {name: [value] for name, value in {**CELLS, "accident": "maybe"}.items()}
    with pytest.raises(InputError, match="listing 0: accident: Input should be true or false"):
        model.predict(columns)


def test_a_file_is_priced_with_them(model: PriceModel, tmp_path: Path) -> None:
    cars = market(30).drop(columns="listingPrice")
    cars.loc[0, "accident"] = "perhaps"
    cars.to_csv(tmp_path / "cars.csv", index=False)
    columns = {"doors": {"from": "Number of doors", "match": r"(\d+)"}}
    for declared in (EXTRA, {"doors": "number"}, {"doors": "category", "other": "flag"}):
        content = {"ingest": {"extra": declared, "columns": columns}}
        told = Settings.model_validate(content).ingest
        predict(model, told, str(tmp_path / "cars.csv"), tmp_path / "out.csv", 0.9, quiet)
        priced = pd.read_csv(tmp_path / "out.csv")
        assert priced.loc[0, "problem"].startswith("accident: Input should be true or false")
        assert priced.loc[1:, "predictedPrice"].notna().all()
    one = {**as_listing(cars, 1), "accident": cars.loc[1, "accident"]}
    assert priced.loc[1, "predictedPrice"] == model.pricer.value(one).predicted_price


def as_listing(cars: pd.DataFrame, row: int) -> dict[str, Any]:
    listing = map_columns(
        Chunk(cars, "cars"),
        settings(Path("cars.csv")).ingest,
        price_required=False,
    ).frame.loc[[row]]
    return next(iter(listings_of(as_columns(listing))))


def test_the_estimator_learns_them_from_a_table(tmp_path: Path) -> None:
    names = ["make", "model", "year", "odometer", "accident", "listingPrice"]
    cars = market(600)[names].dropna().drop_duplicates(names[:4])
    regressor = PriceRegressor(extra={"accident": "flag"}, **TRAIN).fit(cars)
    given = cars.assign(accident=True)[:50]
    effect = regressor.predict(given) / regressor.predict(given.assign(accident=False))
    assert np.median(effect) == pytest.approx(0.85, abs=0.05)
    assert "own columns" in regressor.explain(given[:1])
    regressor.save(tmp_path / "model")
    loaded = PriceRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(given), regressor.predict(given))
    with pytest.warns(CarpriceWarning, match="no column for accident, which the model learned"):
        regressor.predict(given.drop(columns="accident"))
    prices = cars.pop("listingPrice")
    told = "X has no column 'doors', which extra declares"
    with pytest.raises(InputError, match=told):
        PriceRegressor(extra={"doors": "number"}, **TRAIN).fit(cars, prices)


@pytest.mark.filterwarnings("ignore")
def test_other_models_are_compared_with_them_too(workspace: Workspace, model: PriceModel) -> None:
    (candidate,) = (one for one in COMPARED if one.name == "lightgbm/log/native/none")
    features, log_price = read_features(workspace.train_features)
    with_doors = fit(candidate, features, log_price, model.market, TrainSettings(), quick=True)
    texts = {**features.texts, "flag:accident": ["yes"] * len(features)}
    none = {**features.texts, "flag:accident": ["no"] * len(features)}
    dear, cheap = (with_doors(replace(features, texts=one)) for one in (none, texts))
    assert np.median(cheap / dear) < 0.98


def test_the_look_at_the_data_shows_them(tmp_path: Path) -> None:
    market(200).to_csv(tmp_path / "cars.csv", index=False)
    found = examine(settings(tmp_path / "cars.csv"), quiet)
    assert found.market is not None
    assert {"accident", "doors", "steering"} <= {one.name for one in found.market.fields}
    assert {"accident", "steering"} <= {one.name for one in found.market.categories}
    assert "doors" in {one.name for one in found.market.numbers}


def test_map_tells_of_columns_that_may_be_own_ones() -> None:
    cars = market(200).assign(UnfallFrei="ja", avgEmi=7).drop(columns="steering")
    cars.loc[:9, "UnfallFrei"] = "nein"
    (hint,) = (one for one in propose(cars).hints if "extra" in one)
    assert "{accident: flag, numberOfDoors: category, unfallFrei: flag}" in hint
    assert "{numberOfDoors: Number of doors, unfallFrei: UnfallFrei}" in hint


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("postalCode", "postalCode: category"),
        ("PLZ", "plz: category"),
        ("Sales region", "salesRegion: category"),
        ("dents", "dents: number"),
    ],
)
def test_digits_that_are_a_name_are_no_number_to_map(name: str, told: str) -> None:
    cars = market(200).assign(**{name: [10 * (row % 9) for row in range(200)]})
    (hint,) = (one for one in propose(cars).hints if "extra" in one)
    assert told in hint


def test_a_list_price_when_new_is_told_by_map() -> None:
    cars = market(200)
    hints = propose(cars.assign(MSRP=2 * cars["listingPrice"])).hints
    assert "a list price when new, by its name, is learned from as {newPrice: MSRP}" in hints


def test_production_without_them_is_compared_on_cars_that_it_did_not_learn_from(
    model: PriceModel, workspace: Workspace
) -> None:
    cars = pd.read_parquet(workspace.train_listings).head(300)
    plain = learned_cars(cars.drop(columns=[*OWN]))
    pair = score_pair(model, model, cars, plain)
    assert "production learned from 300 of these 300 cars" in pair.note
    known = cars.rename(columns={"flag:accident": "number:accident"})
    assert score_pair(model, model, known, None).fold_mape[0][0] > 0


def test_openapi_follows_the_model_that_is_served(
    model: PriceModel, nowhere: ServiceSettings
) -> None:
    app = create_app(nowhere, ServedModel.of(model, "7"))
    schemas = [app.openapi()["components"]["schemas"]["ListingRequest"]["properties"]]
    app.state.service.keeper.served = None
    schemas.append(app.openapi()["components"]["schemas"]["ListingRequest"]["properties"])
    assert schemas[0].keys() - schemas[1].keys() == EXTRA.keys()


def test_a_real_service_has_them(workspace: Workspace, serve: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}"]
    environment = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_BAKED_MODEL": str(workspace.model),
        "CARPRICE_MODEL_CACHE": str(tmp_path / "cache"),
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    with serve(command, tmp_path, "/", environment) as server:
        prices = []
        for had in (True, False):
            status, content = server.post("/predict", {**CAR, "accident": had})
            assert status == 200
            prices.append(content["predictedPrice"])
        assert prices[0] / prices[1] == pytest.approx(0.85, abs=0.02)
        status, content = server.post("/predict", {**CAR, "accidents": True})
        assert status == 422
        assert "did you mean accident?" in content["detail"]
