import datetime

import pytest

from carprice.listings.features import CATEGORIES, parse
from carprice.listings.synonyms import SYNONYMS, canonical, folded, known_spelling


@pytest.mark.parametrize(
    ("category", "name", "spellings"),
    [
        ("transmission", "manual", "MT, M/T, Manuals, manuell, Schaltgetriebe, механика, 手动"),
        ("transmission", "automatic", "AT, a.t., Automatik, automatique, Otomatik, АКПП, 자동"),
        ("transmission", "semi-automatic", "Semi-Auto, semi automatic, SEMIAUTO"),
        ("fuel", "petrol", "Gasoline, benzin, Benzina, ESSENCE, бензин, 汽油"),
        ("fuel", "diesel", "Dízel, gasoil, Дизель, DIESELS"),
        ("fuel", "electric", "EV, BEV, Elektro, électrique"),
        ("fuel", "plug-in hybrid", "PHEV, Plug In Hybrid, plugin-hybrid"),
        ("body", "suv", "SUVs, Sport Utility Vehicle, S-U-V, внедорожник"),
        ("body", "estate", "Wagon, station-wagon, Kombi, ESTATE"),
        ("body", "sedan", "Saloon, Limousine, седан"),
        ("body", "coupe", "Coupé, COUPES, Coupe\u0301"),
        ("body", "mpv", "Minivan, mini-van, MUV"),
        ("drive", "4wd", "4x4, 4 WD, Four-Wheel Drive"),
    ],
)
def test_spellings_of_a_value_are_one_in_training(category: str, name: str, spellings: str) -> None:
    values = [name, *spellings.split(", ")]
    columns = {field: ["x"] * len(values) for field in ("make", "model")} | {
        "year": [2020] * len(values),
        CATEGORIES[category]: values,
    }
    features = parse(columns, datetime.date(2024, 6, 30), "km")
    assert set(features.texts[category]) == {name}


def test_no_spelling_has_two_names_and_every_name_is_its_own() -> None:
    for category, names in SYNONYMS.items():
        words = [
            folded(word)
            for name, text in names.items()
            for word in {*map(folded, [name, *text.split(", ")])}
        ]
        assert len(words) == len(set(words)), category
        assert all(canonical(category, name) == name for name in names)


@pytest.mark.parametrize(
    ("category", "asked", "known", "expected"),
    [
        ("fuel", "gasoline", ["gasoline", "petrol"], "gasoline"),
        ("fuel", "petrol", ["gas", "diesel"], "gas"),
        ("fuel", "gas", ["diesel", "petrol"], "petrol"),
        ("fuel", "gas", ["cng", "petrol"], ""),
        ("fuel", "phev", ["hybrid", "petrol"], "hybrid"),
        ("transmission", "cvt", ["automatic", "manual"], "automatic"),
        ("transmission", "6-speed manual", ["automatic", "manual"], "manual"),
        ("transmission", "6-speed", ["automatic", "manual"], ""),
        ("transmission", "mt", ["schaltgetriebe"], "schaltgetriebe"),
        ("body", "crossover", ["suv"], "suv"),
        ("color", "dark-blue", ["dark blue"], "dark blue"),
        ("region", "mumbai", ["delhi"], ""),
        ("region", "mumbai", [], ""),
    ],
)
def test_what_is_asked_is_read_as_the_model_knows_it(
    category: str, asked: str, known: list[str], expected: str
) -> None:
    assert known_spelling(category, asked, known) == expected
