"""A market nobody has seen: made from the sample, told to the program by a params file."""

import datetime
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import caller

from carprice.components.pipeline import PipelineResult, run
from carprice.components.workspace import Workspace
from carprice.sample.market import generate
from carprice.settings import load_settings

ROWS = 3000
EURO = 90.0
KM_PER_MILE = 1.609344
FUELS = {"Petrol": "Gasolina", "Diesel": "Diésel", "CNG": "GNC", "LPG": "GLP"}
FUELS |= {"Electric": "Eléctrico", "Hybrid": "Híbrido"}
OWNERS = {1: "Primer dueño", 2: "Segundo", 3: "Tercero"}
MAKES = ("Maruti", "Hyundai", "Honda")

PARAMS = """
ingest:
  source: {source}
  separator: ;
  decimal: ","
  encoding: latin-1
  units: {{currency: EUR, distance: km}}
  columns:
    make: {{filename: true, values: {{maruti: Maruti, hyundai: Hyundai, honda: Honda}}}}
    model: {{from: Modelo y versión, match: "^(.*?) /"}}
    variant: {{from: Modelo y versión, match: "/ (.*)$"}}
    year: Año
    price: {{from: Precio (miles), match: "^(.*) mil", multiply: 1000}}
    odometer: {{from: Millas, unit: miles}}
    fuelType: {{from: Combustible, values: {{Gasolina: Petrol, Diésel: Diesel, GNC: CNG}}}}
    transmissionType: {{from: Cambio, values: {{Automático: Automatic}}}}
    ownership: {{from: Dueño, values: {{Primer dueño: 1, Segundo: 2, Tercero: 3}}}}
    engineCc: {{from: Litros, multiply: 1000}}
    features: {{from: Extras, split: " + "}}
    listedOn: {{from: Publicado, date: "%d/%m/%Y"}}
  split: {{method: time, test_size: 0.25}}
train:
  folds: 3
  booster: {{n_estimators: 60, max_depth: 4, learning_rate: 0.1}}
register:
  name: coches
tracking:
  experiment: mercado-nuevo
"""


def with_comma(values: "pd.Series[float]", digits: int) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.{digits}f}".replace(".", ",") for value in values]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    cars = generate(ROWS, seed=11)
    cars["make"] = cars["make"].str.split().str.join(" ")
    for make in MAKES:
        own = cars[cars["make"] == make]
        table = pd.DataFrame(
            {
                "Modelo y versión": own["model"] + " / " + own["variant"].str.strip(),
                "Año": own["year"],
                "Precio (miles)": [
                    f"{text} mil €" for text in with_comma(own["listingPrice"] / EURO / 1000, 3)
                ],
                "Millas": with_comma(own["odometer"] / KM_PER_MILE, 1),
                "Combustible": own["fuelType"].map(FUELS),
                "Cambio": own["transmissionType"].replace({"Automatic": "Automático"}),
                "Dueño": own["ownership"].clip(upper=3).map(OWNERS),
                "Litros": with_comma(own["engineCc"] / 1000, 3),
                "Extras": np.where(own["Bluetooth"] == 1, "Bluetooth + Clima", "Clima"),
                "Publicado": own["listedOn"].dt.strftime("%d/%m/%Y"),
                "Cuota": own["avgEmi"],
            }
        )
        with gzip.open(folder / f"{make.lower()}.csv.gz", "wt", encoding="latin-1") as file:
            file.write(table.to_csv(index=False, sep=";").replace("€", "eur"))
    (folder / "mercado.yaml").write_text(
        PARAMS.format(source=folder / "*.csv.gz"), encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def result(market: Path) -> PipelineResult:
    now = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)
    settings = load_settings(market / "mercado.yaml")
    return run(settings, Workspace(market / "out"), now)


@pytest.fixture(scope="module")
def listings(market: Path, result: PipelineResult) -> dict[str, pd.DataFrame]:
    """Training and test rows as ingest left them."""
    folder = market / "out" / "data" / "listings"
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test")}


def test_a_params_file_alone_trains_a_market_that_beats_the_median_of_each_model(
    result: PipelineResult,
) -> None:
    assert result.registration.version == 1
    assert result.figures["mape"] < 0.8 * result.figures["naive"]["mape"]
    assert result.figures["rows_test"] > 300


def test_the_listings_mean_what_the_sample_meant(listings: dict[str, pd.DataFrame]) -> None:
    read = pd.concat([*listings.values()])
    cars = generate(ROWS, seed=11)
    cars["make"] = cars["make"].str.split().str.join(" ")
    cars = cars[cars["make"].isin(MAKES)]
    assert set(read["make"]) == set(MAKES)
    assert set(read["model"]) <= set(cars["model"])
    good = cars[cars["listingPrice"].gt(1000) & cars["year"].between(1950, 2050)]
    assert read["price"].median() == pytest.approx(good["listingPrice"].median() / EURO, rel=0.02)
    assert read["odometer"].median() == pytest.approx(good["odometer"].median(), rel=0.02)
    assert read["engine_cc"].median() == good["engineCc"].median()
    assert {"Petrol", "Diesel", "CNG"} <= set(read["fuel_type"].dropna())
    assert "Automatic" in set(read["transmission_type"])
    assert set(read["ownership"]) == {1.0, 2.0, 3.0}
    assert set(read["features"]) == {"Bluetooth|Clima", "Clima"}
    assert read["listed_on"].max().date() == good["listedOn"].max().date()


def test_the_newest_quarter_is_the_test_set(listings: dict[str, pd.DataFrame]) -> None:
    train, test = listings["train"], listings["test"]
    assert train["listed_on"].max() <= test["listed_on"].min()
    assert len(test) / (len(test) + len(train)) == pytest.approx(0.25, abs=0.001)


def test_the_report_names_the_currency_and_the_column_made_of_the_price(
    result: PipelineResult,
) -> None:
    assert (result.report["currency"], result.report["distance_unit"]) == ("EUR", "km")
    (ignored,) = result.report["ignored_columns"]
    assert ignored["name"] == "Cuota"
    assert ignored["looks_computed_from_price"]


@pytest.mark.usefixtures("result")
def test_a_new_listing_of_the_market_is_priced_by_the_same_map(
    market: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = "Modelo y versión;Año;Millas;Combustible;Cambio;Dueño;Litros;Extras;Publicado\n"
    row += "Swift / VXI;2018;30000,5;Gasolina;Manual;Segundo;1,197;Clima;01/06/2024\n"
    (tmp_path / "maruti.csv").write_text(row, encoding="latin-1")
    done = caller(monkeypatch, capsys)(
        *("predict", tmp_path / "maruti.csv", "--out", tmp_path / "priced.csv"),
        *("--params", market / "mercado.yaml", "--model", market / "out/models/candidate"),
    )
    assert done.code == 0, done.err
    priced = pd.read_csv(tmp_path / "priced.csv")
    assert priced["Modelo y versión"][0] == "Swift / VXI"
    assert 1000 < priced["predictedPrice"][0] < 15_000
