"""Quotes: an id is of what was asked and answered, and of nothing else."""

import hashlib
import json
from collections.abc import Callable, Collection
from typing import Any

import pytest

from carprice.appraisal.appraisal import Appraised, parts_of
from carprice.appraisal.deal import value_with_deal
from carprice.appraisal.quote import NoQuoteError, Quote
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.model.pricer import Valuation
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


def answered(
    model: PriceModel, asking_price: float | None = None, without: Collection[str] = ()
) -> dict[str, Any]:
    listing = Listing(**example_listing())
    valuation = value_with_deal(model, vars(listing), asking_price, 0.8)
    parts = parts_of(Appraised(model, listing, 0.8, valuation), without)
    content = {**Valuation.content(valuation), **parts, **model.content(0.8)}
    kept: dict[str, Any] = json.loads(json.dumps(content))
    return kept


@pytest.fixture(scope="module")
def answer(model: PriceModel) -> dict[str, Any]:
    return answered(model)


@pytest.fixture(scope="module")
def judged(model: PriceModel) -> dict[str, Any]:
    return answered(model, 480_000.0)


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
        lambda it: it.update(comparables=[]),
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


def test_an_id_stays_what_it_is_where_an_asking_price_was_judged() -> None:
    text = (
        '{"confidence":0.9,"currency":"INR","deal":{"difference":-12000.5,"label":"fair",'
        '"perCent":-2.3,"percentile":38},"form":"carprice quote 1","listing":{"askingPrice":500000,'
        '"features":["Bluetooth"],"make":"Citro\\u00ebn","model":"C3","odometer":42000,'
        '"powerBhp":83.5,"year":2019},"modelDigest":"' + "ab" * 32 + '","predictedPrice":512000.5,'
        '"priceHigh":615000.25,"priceLow":421000,"valuationDate":"2025-06-01"}'
    )
    told = hashlib.sha256(text.encode()).hexdigest()
    deal = {"label": "fair", "reason": None, "percentile": 38.0, "difference": -12000.5}
    listing = {**KEPT["quote"]["listing"], "askingPrice": 500_000.0}
    quote = {**KEPT["quote"], "listing": listing, "id": told}
    kept = {**KEPT, "deal": {**deal, "perCent": -2.3}, "quote": quote}
    assert Quote.read(kept).is_as_told


def test_a_judged_price_is_asked_and_judged_again(
    judged: dict[str, Any], model: PriceModel
) -> None:
    assert judged["quote"]["listing"]["askingPrice"] == 480_000
    for written in (judged, as_javascript_writes(judged)):
        quote = Quote.read(written)
        assert quote.is_as_told
        assert quote.differences(model) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["deal"].update(label="great"),
        lambda it: it["deal"].update(percentile=0.1),
        lambda it: it["deal"].update(percentile=None),
        lambda it: it["deal"].update(difference=-90_000.0),
        lambda it: it["deal"].update(perCent=-20.0),
        lambda it: it.pop("deal"),
        lambda it: it.update(deal=None),
        lambda it: it["quote"]["listing"].update(askingPrice=470_000),
        lambda it: it["quote"]["listing"].pop("askingPrice"),
        lambda it: (it.pop("deal"), it["quote"]["listing"].pop("askingPrice")),
    ],
)
def test_a_deal_that_was_changed_does_not_bear_itself_out(
    judged: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    assert not Quote.read(changed(judged, change)).is_as_told


def test_a_deal_that_nobody_gave_does_not_bear_itself_out(
    answer: dict[str, Any], judged: dict[str, Any]
) -> None:
    added = changed(answer, lambda it: it.update(deal=judged["deal"]))
    assert not Quote.read(added).is_as_told


def test_why_there_is_no_label_is_not_in_the_id(judged: dict[str, Any]) -> None:
    other = changed(judged, lambda it: it["deal"].update(reason={"message": "in other words"}))
    assert Quote.read(other).is_as_told


def test_another_deal_is_told_in_words(judged: dict[str, Any], model: PriceModel) -> None:
    label = judged["deal"]["label"]
    quote = Quote.read(changed(judged, lambda it: it["deal"].update(label="great")))
    assert quote.differences(model) == [f"deal.label is {label}, not great"]
    gone = Quote.read(changed(judged, lambda it: it["quote"]["listing"].pop("askingPrice")))
    assert len(gone.differences(model)) == 4


def test_without_the_deal_the_quote_is_that_of_what_was_priced(model: PriceModel) -> None:
    assert answered(model, 480_000.0, {"deal"}) == answered(model)


@pytest.mark.parametrize(
    ("deal", "words"),
    [
        ("great", "its deal has no label"),
        ({}, "its deal has no label"),
        ({"label": 5}, "its deal has no label"),
        ({"label": "fair", "percentile": "5"}, "its deal has no percentile"),
        ({"label": "fair", "percentile": None, "difference": None}, "its deal has no difference"),
        ({"label": "fair", "percentile": 5, "difference": 1}, "its deal has no perCent"),
    ],
)
def test_what_is_no_deal_is_told(deal: Any, words: str, answer: dict[str, Any]) -> None:
    with pytest.raises(NoQuoteError, match=words):
        Quote.read({**answer, "deal": deal})


@pytest.mark.parametrize("asked", ["480000", 0, -5, 1e13, True, [5]])
def test_what_is_no_asking_price_cannot_be_judged_again(
    asked: Any, judged: dict[str, Any], model: PriceModel
) -> None:
    quote = Quote.read(changed(judged, lambda it: it["quote"]["listing"].update(askingPrice=asked)))
    with pytest.raises(InputError, match="askingPrice is "):
        quote.differences(model)
