import pytest

from carprice.model import PriceModel
from carprice.model.vocabulary import Vocabulary

KNOWN = Vocabulary(
    {
        "kia": {"seltos": (), "sonet": ()},
        "maruti": {
            "alto": (),
            "alto k10": (),
            "swift": ("LXI", "VXI", "VXI AMT", "VXI OPT", "ZXI", "ZXI PLUS"),
            "swift dzire": (),
            "wagon r": (),
        },
        "mercedes benz": {},
    }
)


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Marutti", ("maruti",)),
        ("MARUTI  SUZUKI", ("maruti",)),
        ("Mercedes", ("mercedes benz",)),
        ("Trabant", ()),
        ("", ()),
    ],
)
def test_nearest_makes(name: str, expected: tuple[str, ...]) -> None:
    assert KNOWN.nearest_makes(name) == expected


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        ("Maruti", "WagonR", ("wagon r",)),
        ("maruti", "Alto K10 New", ("alto k10", "alto")),
        ("maruti", "Seltos", ()),
        ("Nobody", "Swift", ()),
    ],
)
def test_nearest_models_are_those_of_the_make(
    make: str, name: str, expected: tuple[str, ...]
) -> None:
    assert KNOWN.nearest_models(make, name) == expected


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        ("Swift", "VXI 1.2 AMT", ("VXI AMT", "VXI")),
        ("swift", "Zxi+ ", ("ZXI PLUS", "ZXI")),
        ("swift", "NEVER 9", ()),
        ("alto", "VXI", ()),
        ("never", "VXI", ()),
    ],
)
def test_nearest_variants_share_words(model: str, name: str, expected: tuple[str, ...]) -> None:
    assert KNOWN.nearest_variants("Maruti", model, name)[: len(expected) or 3] == expected


def test_there_are_three_at_most() -> None:
    assert len(KNOWN.nearest_variants("Maruti", "Swift", "VXI LXI ZXI")) == 3


def test_a_models_vocabulary_is_what_it_has_learned(model: PriceModel) -> None:
    makes, known = model.vocabulary.makes, model.hedonic.coefficients
    assert list(makes) == sorted(known["make"])
    pairs = {
        f"{make}|{line}": names for make, lines in makes.items() for line, names in lines.items()
    }
    assert set(pairs) == set(known["model"])
    variants = {f"{line}|{name}" for line, names in pairs.items() for name in names}
    assert variants == {key for key in known["variant"] if not key.endswith("|")}
    assert model.vocabulary is model.vocabulary
