"""A market nobody has seen: made from the sample, told to the program by a params file."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from carprice.sample.market import generate

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
    price: {{from: Precio (miles), number: true, multiply: 1000}}
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
    cars = generate(6000, seed=11)
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
def figures(market: Path) -> dict:
    command = [sys.executable, "-m", "carprice.cli", "run", "--json", "--workdir", "out"]
    done = subprocess.run(
        [*command, "--params", "mercado.yaml"],
        cwd=market,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_params_file_alone_trains_a_market_that_beats_the_median_of_each_model(
    figures: dict,
) -> None:
    assert figures["registration"]["version"] == 1
    assert figures["mape"] < 0.8 * figures["naive"]["mape"]
    assert figures["rows_test"] > 300


def test_the_listings_mean_what_the_sample_meant(market: Path, figures: dict) -> None:
    folder = market / "out" / "data" / "listings"
    read = pd.concat([pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test")])
    cars = generate(6000, seed=11)
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


def test_the_newest_quarter_is_the_test_set(market: Path, figures: dict) -> None:
    folder = market / "out" / "data" / "listings"
    train, test = (pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test"))
    assert train["listed_on"].max() <= test["listed_on"].min()
    assert len(test) / (len(test) + len(train)) == pytest.approx(0.25, abs=0.001)


def test_the_report_names_the_currency_and_the_column_made_of_the_price(
    market: Path, figures: dict
) -> None:
    report = json.loads((market / "out" / "data" / "report.json").read_text(encoding="utf-8"))
    assert (report["currency"], report["distance_unit"]) == ("EUR", "km")
    (ignored,) = report["ignored_columns"]
    assert ignored["name"] == "Cuota"
    assert ignored["looks_computed_from_price"]


def test_a_new_listing_of_the_market_is_priced_by_the_same_map(market: Path, figures: dict) -> None:
    row = "Modelo y versión;Año;Millas;Combustible;Cambio;Dueño;Litros;Extras;Publicado\n"
    row += "Swift / VXI;2018;30000,5;Gasolina;Manual;Segundo;1,197;Clima;01/06/2024\n"
    new = market / "new"
    new.mkdir()
    (new / "maruti.csv").write_text(row, encoding="latin-1")
    model = market / "out" / "models" / "candidate"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "carprice.cli", "predict", str(new / "maruti.csv")),
            *("--out", "priced.csv", "--params", "mercado.yaml", "--model", str(model)),
        ],
        cwd=market,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    priced = pd.read_csv(market / "priced.csv")
    assert priced["Modelo y versión"][0] == "Swift / VXI"
    assert 1000 < priced["predictedPrice"][0] < 15_000
    assert yaml.safe_load(PARAMS.format(source=""))["ingest"]["units"]["currency"] == "EUR"
