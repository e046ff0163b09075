"""Markets that nobody here has seen, each of a few hundred listings whose prices follow a rule.

Each is a table under the names of the reference. A price is ``worth · exp(noise)``, where the
worth's logarithm is that of the model, plus so much a year and so much for a distance.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd

LAST_YEAR: Final = 2024
Table = Callable[[], pd.DataFrame]


def _prices(worth: pd.Series, deviation: float, rng: np.random.Generator) -> pd.Series:
    noise = np.clip(rng.standard_t(5, len(worth)), -5, 5) * deviation
    return np.exp(worth + noise).round(-1)


def young_and_narrow() -> pd.DataFrame:
    """Return cars of up to five years that cost nearly the same: a dealer's returned leases."""
    rng, rows = np.random.default_rng(1), 700
    models = {
        name: 10.0 + 0.06 * place
        for place, name in enumerate(["Fabia", "Scala", "Kamiq", "Octavia", "Karoq"])
    }
    lines = {"": -0.02, "Ambition": 0.0, "Style": 0.05, "1.5 TSI Style": 0.09}
    cars = pd.DataFrame(
        {
            "make": "Skoda",
            "model": rng.choice([*models], rows),
            "variant": rng.choice([*lines], rows),
            "year": LAST_YEAR - rng.choice(6, rows, p=[0.1, 0.2, 0.3, 0.25, 0.1, 0.05]),
        }
    )
    age = LAST_YEAR - cars["year"]
    cars["odometer"] = (rng.lognormal(0, 0.35, rows) * 16_000 * (age + 0.4)).round()
    worth = cars["model"].map(models) + cars["variant"].map(lines)
    worth -= 0.03 * age + 0.0015 * cars["odometer"] / 1_000
    return cars.assign(price=_prices(worth, 0.045, rng))


def old_cars_only() -> pd.DataFrame:
    """Return cars of 20 to 40 years: some models gain value with age, others lose it."""
    rng, rows = np.random.default_rng(2), 800
    models = {
        ("Mercedes-Benz", "W123"): (9.4, 0.03),
        ("Mercedes-Benz", "SL"): (10.3, 0.02),
        ("Mercedes-Benz", "C 180"): (7.8, -0.06),
        ("Volkswagen", "Golf"): (8.0, -0.01),
        ("Volkswagen", "Bus"): (9.6, 0.04),
        ("Volkswagen", "Passat"): (7.4, -0.05),
        ("Porsche", "911"): (10.9, 0.03),
        ("Porsche", "944"): (9.5, 0.0),
        ("Opel", "Manta"): (9.2, 0.03),
        ("Opel", "Astra"): (7.1, -0.07),
    }
    of = rng.choice(len(models), rows)
    names, numbers = [[*models][one] for one in of], np.array([*models.values()])[of]
    cars = pd.DataFrame(names, columns=["make", "model"])
    cars["year"] = LAST_YEAR - rng.integers(20, 41, rows)
    age = LAST_YEAR - cars["year"]
    cars["odometer"] = (rng.lognormal(0, 0.4, rows) * 150_000).round()
    worth = numbers[:, 0] + numbers[:, 1] * (age - 30) - 0.1 * np.log(cars["odometer"] / 150_000)
    return cars.assign(price=_prices(worth, 0.22, rng))


def motorbikes() -> pd.DataFrame:
    """Return motorbikes: engines in cc, few kilometres, neither bodies nor gearboxes."""
    rng, rows = np.random.default_rng(3), 900
    models = {
        ("Honda", "CB 500"): (8.5, 471),
        ("Honda", "Africa Twin"): (9.4, 1084),
        ("Honda", "PCX"): (7.9, 125),
        ("Yamaha", "MT-07"): (8.7, 689),
        ("Yamaha", "XMAX"): (8.3, 292),
        ("Yamaha", "R1"): (9.6, 998),
        ("BMW", "R 1250 GS"): (9.8, 1254),
        ("BMW", "G 310"): (8.4, 313),
        ("Kawasaki", "Z 900"): (9.0, 948),
        ("Kawasaki", "Ninja 400"): (8.5, 399),
    }
    of = rng.choice(len(models), rows)
    numbers = np.array([*models.values()])[of]
    cars = pd.DataFrame([[*models][one] for one in of], columns=["make", "model"])
    age = np.minimum(rng.geometric(0.14, rows) - 1, 25)
    cars["year"] = LAST_YEAR - age
    cars["odometer"] = (rng.lognormal(0, 0.6, rows) * 3_500 * (age + 0.5)).round()
    cars["engineCc"] = numbers[:, 1].astype(int)
    worth = numbers[:, 0] - 0.07 * age - 0.08 * np.sqrt(cars["odometer"] / 10_000)
    return cars.assign(price=_prices(worth, 0.14, rng))


MARKETS: Final[Mapping[str, Table]] = {
    "young and narrow": young_and_narrow,
    "old cars only": old_cars_only,
    "motorbikes": motorbikes,
}
