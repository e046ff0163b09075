"""Quotes: an id is of what was asked and answered, and of nothing else."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from carprice.appraisal.appraisal import Appraised, parts_of
from carprice.appraisal.quote import NoQuoteError, Quote
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.schema import Listing, example_listing

KEPT: dict[str, Any] = {
    "predictedPrice": 512000.5,
    "priceLow": 421000.0,
    "priceHigh": 615000.25,
    "valuationDate": "2025-06-01",
    "currency": "INR",
    "modelDigest": "ab" * 32,
    "quote": {
        "listing": {
            "make": "Citroën",
            "model": "C3",
            "year": 2019,
            "odometer": 42000.0,
            "powerBhp": 83.5,
            "features": ["Bluetooth"],
        },
        "confidence": 0.9,
    },
}


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def answer(model: PriceModel) -> dict[str, Any]:
    listing = Listing(**example_listing())
    valuation = model.pricer.value(vars(listing), 0.8)
    parts = parts_of(Appraised(model, listing, 0.8, valuation))
    content = {**valuation.content(), **parts, **model.content(0.8)}
    kept: dict[str, Any] = json.loads(json.dumps(content))
    return kept


def changed(answer: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(json.dumps(answer))
    change(kept)
    return kept


def test_an_id_stays_what_it_is_whatever_version_reads_it() -> None:
    """Whoever changes how an id is made breaks all quotes that were kept."""
    text = (
        '{"confidence":0.9,"currency":"INR","form":"carprice quote 1","listing":{"features":'
        '["Bluetooth"],"make":"Citro\\u00ebn","model":"C3","odometer":42000,"powerBhp":83.5,'
        '"year":2019},"modelDigest":"' + "ab" * 32 + '","predictedPrice":512000.5,'
        '"priceHigh":615000.25,"priceLow":421000,"valuationDate":"2025-06-01"}'
    )
    told = hashlib.sha256(text.encode()).hexdigest()
    assert Quote.read({**KEPT, "quote": {**KEPT["quote"], "id": told}}).is_as_told


def test_a_quote_is_priced_again_to_the_cent(answer: dict[str, Any], model: PriceModel) -> None:
    quote = Quote.read(answer)
    assert quote.is_as_told
    assert quote.differences(model) == []


def as_javascript_writes(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: as_javascript_writes(value[name]) for name in reversed(value)}
    return [*map(as_javascript_writes, value)] if isinstance(value, list) else value


def test_other_programs_may_write_it_otherwise(answer: dict[str, Any], model: PriceModel) -> None:
    written = as_javascript_writes(answer)
    assert json.dumps(written) != json.dumps(answer)
    quote = Quote.read(written)
    assert quote.is_as_told
    assert quote.differences(model) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(predictedPrice=it["predictedPrice"] + 0.01),
        lambda it: it.update(priceLow=it["priceLow"] - 1),
        lambda it: it.update(priceHigh=it["priceHigh"] + 1),
        lambda it: it.update(valuationDate="2025-07-01"),
        lambda it: it.update(currency="EUR"),
        lambda it: it.update(modelDigest="0" * 64),
        lambda it: it["quote"].update(confidence=0.9),
        lambda it: it["quote"]["listing"].update(odometer=41_999),
        lambda it: it["quote"]["listing"].update(color=None),
        lambda it: it["quote"]["listing"].pop("color"),
        lambda it: it["quote"]["listing"]["features"].append("Tpms"),
        lambda it: it["quote"].update(id="0" * 64),
    ],
)
def test_a_quote_that_was_changed_does_not_bear_itself_out(
    answer: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    assert not Quote.read(changed(answer, change)).is_as_told


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(deal={"label": "good"}, comparables=[]),
        lambda it: it.pop("curve"),
        lambda it: it.update(modelVersion="another", warnings=[]),
        lambda it: it["quote"].update(note="kept on Monday"),
    ],
)
def test_what_is_told_beside_the_price_is_not_in_the_id(
    answer: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    assert Quote.read(changed(answer, change)).is_as_told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: it.pop("quote"), "it has no 'quote'"),
        (lambda it: it.update(quote=5), "it has no 'quote'"),
        (lambda it: it["quote"].pop("id"), "its id is missing"),
        (lambda it: it["quote"].update(id="abc"), "its id is missing, or not as"),
        (lambda it: it["quote"].update(listing=[]), "its listing"),
        (lambda it: it["quote"].update(confidence=True), "its confidence"),
        (lambda it: it.update(priceLow="5"), "its priceLow"),
        (lambda it: it.update(predictedPrice=float("inf")), "its predictedPrice"),
        (lambda it: it.update(modelDigest=None), "its modelDigest"),
        (lambda it: it.pop("currency"), "its currency"),
    ],
)
def test_what_is_no_answer_is_told(
    answer: dict[str, Any], change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(NoQuoteError, match=words):
        Quote.read(changed(answer, change))


@pytest.mark.parametrize("content", [None, 5, "quote", [], [{"quote": {}}]])
def test_what_is_no_object_is_no_answer(content: Any) -> None:
    with pytest.raises(NoQuoteError, match="no answer of POST /appraise"):
        Quote.read(content)


def test_another_price_is_told_in_words(answer: dict[str, Any], model: PriceModel) -> None:
    price = answer["predictedPrice"]
    quote = Quote.read(changed(answer, lambda it: it.update(predictedPrice=price + 0.01)))
    told = f"predictedPrice is {price:,.2f}, not {price + 0.01:,.2f}"
    assert quote.differences(model) == [told]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: it["listing"].update(odometer="far"), "odometer: .*found 'far'"),
        (lambda it: it["listing"].update(colour="red"), "there is no such field"),
        (lambda it: it["listing"].pop("make"), "make: this field is required"),
        (lambda it: it.update(confidence=0.2), "confidence is 0.2"),
    ],
)
def test_what_the_service_never_answered_cannot_be_priced_again(
    answer: dict[str, Any],
    model: PriceModel,
    change: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    quote = Quote.read(changed(answer, lambda it: change(it["quote"])))
    with pytest.raises(InputError, match=words):
        quote.differences(model)


def test_a_listing_that_is_nested_without_end_is_not_as_told(answer: dict[str, Any]) -> None:
    nested: Any = []
    for _ in range(5_000):
        nested = [nested]
    kept = {**answer, "quote": {**answer["quote"], "listing": {"make": nested}}}
    assert not Quote.read(kept).is_as_told
