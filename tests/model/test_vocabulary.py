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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Marutti",), ("maruti",)),
        (("MARUTI  SUZUKI",), ("maruti",)),
        (("Mercedes",), ("mercedes benz",)),
        (("Trabant",), ()),
        (("",), ()),
        (("Maruti", "WagonR"), ("wagon r",)),
        (("maruti", "Alto K10 New"), ("alto k10", "alto")),
        (("maruti", "Seltos"), ()),
        (("Nobody", "Swift"), ()),
        (("Maruti", "Swift", "VXI 1.2 AMT"), ("VXI AMT", "VXI")),
        (("Maruti", "swift", "Zxi+ "), ("ZXI PLUS", "ZXI")),
        (("Maruti", "swift", "NEVER 9"), ()),
        (("Maruti", "alto", "VXI"), ()),
        (("Maruti", "never", "VXI"), ()),
    ],
)
def test_the_nearest_names_come_first(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    found = KNOWN.nearest(*names)
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


def test_there_are_three_at_most() -> None:
    assert len(KNOWN.nearest("Maruti", "Swift", "VXI LXI ZXI")) == 3


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
