"""A list price when new tells most of what a car is worth, and is known of any car."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.predict import predict
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.eda.advice import Severity, advise
from carprice.eda.findings import examine
from carprice.errors import InputError
from carprice.listings.ignored_columns import inspect_ignored
from carprice.model import PriceModel
from carprice.settings import IngestSettings, Settings, TrainSettings

QUICK = TrainSettings.model_validate(
    {"folds": 2, "booster": {"n_estimators": 40, "max_depth": 4, "learning_rate": 0.2}}
)
ROWS = 1500


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a market whose cars differ by far most in what they cost when new."""
    random = np.random.default_rng(3)
    model = random.integers(0, 8, ROWS)
    age = random.integers(0, 12, ROWS)
    km = np.round((age + 0.5) * random.uniform(8_000, 22_000, ROWS))
    new = np.round(15_000 * 1.3**model * np.exp(random.normal(0, 0.5, ROWS)), -1)
    worth = new * 0.87**age * np.exp(-km / 600_000 + random.normal(0, 0.05, ROWS))
    frame = pd.DataFrame(
        {
            "make": np.array(["Kia", "Ford"])[model % 2],
            "model": np.array([f"Model {n}" for n in range(8)])[model],
            "year": 2023 - age,
            "odometer": km,
            "price": np.round(worth),
            "msrp": new,
            "asked_in_rupees": np.round(worth * 90.3),
            "instalment": np.round(worth / 60 * random.uniform(0.98, 1.02, ROWS)),
        }
    )
    file = tmp_path_factory.mktemp("market") / "cars.csv"
    frame.to_csv(file, index=False)
    return file


def trained(market: Path, folder: Path, **columns: Any) -> tuple[PriceModel, dict[str, Any], str]:
    """Return the model, the report and the data card."""
    settings = IngestSettings.model_validate(
        {"source": str(market), "columns": columns, "repeats": "ignore"}
    )
    workspace = Workspace(folder)
    report = ingest(settings, workspace, quiet)
    transform(workspace)
    return train(QUICK, workspace, quiet), report, workspace.data_card.read_text("utf-8")


def test_the_list_price_when_new_is_learned_from_and_lowers_the_error(
    market: Path, tmp_path: Path
) -> None:
    without, report, card = trained(market, tmp_path / "without")
    assert (
        "| msrp | no: a list price when new, by its name; to learn from it, map it: `newP" in card
    )
    assert report["known"] == []
    known, report, card = trained(market, tmp_path / "with", newPrice="msrp")
    assert known.metrics["mape"] < 0.4 * without.metrics["mape"]
    assert report["known"] == ["newPrice"]
    assert "Taken as known of any car before there is a price: newPrice (column msrp)." in card
    marked, report, _ = trained(
        market, tmp_path / "marked", roadTax={"from": "msrp", "known": True}
    )
    assert marked.metrics["mape"] < 0.4 * without.metrics["mape"]
    assert report["known"] == ["roadTax"]

    car = {"make": "Kia", "model": "Model 2", "year": 2019, "odometer": 60_000}
    asked = [{**car, **more} for more in ({"new_price": 50_000}, {}, {"new_price": 15_000})]
    dear, usual, cheap = (one.predicted_price for one in known.pricer.value_all(asked))
    assert cheap < usual < dear
    told = known.pricer.explain({**car, "new_price": 50_000})
    by_name = {one.name: one.factor for one in told.reasons}
    assert by_name["variant"] > 1.5
    assert by_name["fuel and gearbox"] == pytest.approx(1, abs=0.05)


def test_predict_reads_it_by_the_same_rule(market: Path, tmp_path: Path) -> None:
    model, *_ = trained(market, tmp_path / "work", newPrice="msrp")
    settings = IngestSettings.model_validate({"columns": {"newPrice": "msrp"}})
    out = tmp_path / "out.csv"
    assert predict(model, settings, str(market), out, 0.9, quiet)[:2] == (ROWS, ROWS)
    written = pd.read_csv(out)
    off = (written["predictedPrice"] / written["price"] - 1).abs()
    assert off.median() < 0.1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"roadTax": "msrp"},
            r"roadTax \(column msrp\) explains \d+ % .* map it as newPrice; .* known: true in its "
            r"rule, such as 'roadTax: \{from: msrp, known: true\}'$",
        ),
        ({"roadTax": "instalment"}, r"switch it off in ingest.columns, such as 'roadTax: null'$"),
        *(
            (
                columns,
                r"is the price, or computed from it: .*, and known: true does not help; .*null",
            )
            for columns in (
                {"newPrice": "asked_in_rupees"},
                {"roadTax": {"from": "asked_in_rupees", "known": True}},
                {"roadTax": {"from": "instalment", "known": True}},
                {"powerBhp": {"from": "instalment", "known": True}},
                {"fuelEconomy": {"from": "price", "multiply": -0.0001, "add": 900, "known": True}},
            )
        ),
    ],
)
def test_the_price_itself_is_refused_whatever_the_rule_says(
    columns: dict[str, Any], message: str, market: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        trained(market, tmp_path, **columns)


def test_eda_says_what_may_be_mapped_and_what_was_marked(market: Path) -> None:
    def advice(**columns: Any) -> dict[str, tuple[Severity, str]]:
        settings = {"ingest": {"source": str(market), "columns": columns, "repeats": "ignore"}}
        findings = examine(Settings.model_validate(settings), quiet)
        return {one.title: (one.severity, one.text) for one in advise(findings)}

    ignored = advice()["msrp is a list price when new, and is not read"]
    assert ignored[0] is Severity.NOTE
    assert "newPrice: msrp" in ignored[1]
    assert "newPrice" in advice(newPrice="msrp")["Fields that are known of any car"][1]
    refused = advice(roadTax="msrp")["roadTax knows the price"]
    assert refused[0] is Severity.STOP
    assert "known: true" in refused[1]
    price = advice(newPrice="asked_in_rupees")["newPrice knows the price"]
    assert "known: true" not in price[1]


@pytest.mark.parametrize(
    ("name", "is_list_price", "is_computed"),
    [
        *(
            (n, True, False)
            for n in ("MSRP", "list_price", "ListPrice", "Neupreis", "priceWhenNew")
        ),
        *((n, True, False) for n in ("Ex-Showroom Price", "new_car_price", "新车指导价", "RRP")),
        *(
            (n, False, True)
            for n in ("listing_price_usd", "renewPrice", "price_old", "newsletter price")
        ),
        *((n, False, False) for n in ("colour", "reprise", "carrport")),
    ],
)
def test_list_prices_are_told_by_name(name: str, is_list_price: bool, is_computed: bool) -> None:
    raw = pd.DataFrame({name: ["x"] * 60})
    (found,) = inspect_ignored(raw, np.arange(1.0, 61.0), np.full(60, 2020.0))
    assert (found.is_list_price, found.looks_computed_from_price) == (is_list_price, is_computed)
