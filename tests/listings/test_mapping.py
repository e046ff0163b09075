"""Files of many languages and shapes: what `carprice map` proposes reads them as they are meant."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from odd_files import workbook
from pydantic import ValidationError

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.listings.column_map import map_chunks
from carprice.listings.mapping import propose_params
from carprice.listings.sources import first_chunks, read_chunks
from carprice.settings import IngestSettings

MODELS = (
    *(("Volkswagen", "Golf"), ("Volkswagen", "Passat"), ("BMW", "X3"), ("BMW", "X5")),
    *(("Toyota", "Corolla"), ("Toyota", "Camry"), ("Škoda", "Octavia"), ("Škoda", "Fabia")),
)


@dataclass(frozen=True)
class Car:
    """A car as it truly is."""

    n: int
    make: str
    model: str
    year: int
    km: int
    price: int


def market(models: Sequence[tuple[str, str]] = MODELS, price: int = 24_000) -> list[Car]:
    """Return 96 cars: older ones are cheaper and have driven farther."""
    cars, unit = [], 1000 if price > 100_000 else 100
    for n in range(96):
        age = n * 7 % 16
        value = price * 0.88**age * (1 + n % 8 / 10)
        km = 12_000 * age + 4_200 + 400 * (n % 11)
        make, model = models[n % len(models)]
        cars.append(Car(n, make, model, 2023 - age, km, unit * round(value / unit + n)))
    return cars


Cell = Callable[[Car], Any]
Columns = Mapping[str, Cell]


def one_of(*values: Any) -> Cell:
    return lambda car: values[car.n % len(values)]


def parted(number: float, sign: str = ".") -> str:
    return f"{number:,.0f}".replace(",", sign)


MAKE: Cell = lambda car: car.make  # noqa: E731
MODEL: Cell = lambda car: car.model  # noqa: E731
YEAR: Cell = lambda car: car.year  # noqa: E731
KM: Cell = lambda car: car.km  # noqa: E731
PRICE: Cell = lambda car: car.price  # noqa: E731
INDIAN = (("Maruti", "Swift"), ("Maruti", "Baleno"), ("Hyundai", "Creta"), ("Tata", "Nexon"))
RUSSIAN = (("Лада", "Веста"), ("Лада", "Гранта"), ("Тойота", "Камри"), ("Киа", "Рио"))
CHINESE = (("大众", "高尔夫"), ("大众", "帕萨特"), ("丰田", "卡罗拉"), ("宝马", "三系"))
JAPANESE = (
    ("トヨタ", "プリウス"),
    ("トヨタ", "アクア"),
    ("ホンダ", "フィット"),
    ("日産", "ノート"),
)
KOREAN = (("현대", "쏘나타"), ("현대", "그랜저"), ("기아", "모닝"), ("쌍용", "티볼리"))
ARABIC = (("تويوتا", "كامري"), ("هيونداي", "النترا"), ("نيسان", "باترول"), ("فورد", "اكسبلورر"))
ENGLISH = {"make": MAKE, "model": MODEL, "year": YEAR, "odometer": KM, "price": PRICE}


@dataclass(frozen=True)
class Case:
    """A file, and what has to be read from it.

    Attributes
    ----------
    columns : what stands in each of its columns.
    cars : the cars in it.
    layout : of the file: ``separator``, ``above``, ``encoding``, ``header``.
    name : the file's name.
    says : keys of ``ingest`` that are proposed.
    asks : fields and keys whose line has a question.
    reads : other fields, and the column of each.
    price, odometer, year : what each car's is, in the market's units.
    """

    columns: Columns
    cars: Sequence[Car] = field(default_factory=market)
    layout: Mapping[str, Any] = field(default_factory=dict)
    name: str = "cars.csv"
    says: Mapping[str, Any] = field(default_factory=dict)
    asks: Sequence[str] = ()
    reads: Mapping[str, str] = field(default_factory=dict)
    price: Cell = PRICE
    odometer: Cell = KM
    year: Cell = YEAR


def written(case: Case, folder: Path) -> Path:
    path = folder / case.name
    rows = [[cell(car) for cell in case.columns.values()] for car in case.cars]
    header = [*case.columns] if case.layout.get("header", True) else None
    if case.name.endswith(".xlsx"):
        above = case.layout.get("above", [])
        sheets = [("Cars", [*above, *([header] if header else []), *rows])]
        first = case.layout.get("first_sheet")
        path.write_bytes(workbook(*([first] if first else []), *sheets))
    elif case.name.endswith((".jsonl", ".json")):
        objects = [dict(zip(case.columns, row, strict=True)) for row in rows]
        lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in objects)
        path.write_text(lines if path.suffix == ".jsonl" else json.dumps(objects), "utf-8")
    elif case.name.endswith(".parquet"):
        pd.DataFrame(rows, columns=header).to_parquet(path)
    else:
        frame = pd.DataFrame(rows, columns=header, dtype=object)
        text = frame.to_csv(
            index=False, sep=case.layout.get("separator", ","), header=header is not None
        )
        encoding = case.layout.get("encoding", "utf-8")
        path.write_bytes((case.layout.get("above", "") + text).encode(encoding))
    return path


CASES = {
    "German": Case(
        {
            "Marke": MAKE,
            "Modell": MODEL,
            "Erstzulassung": lambda car: f"{1 + car.n % 12:02}/{car.year}",
            "Kilometerstand": lambda car: f"{parted(car.km)} km",
            "Preis": lambda car: f"{parted(car.price)} €",
            "Kraftstoff": one_of("Benzin", "Diesel", "Elektro"),
            "Getriebe": one_of("Schaltgetriebe", "Automatik"),
            "Leistung": one_of("110 kW (150 PS)", "85 kW (116 PS)"),
            "Hubraum": one_of("1.598 cm3", "1.968 cm3"),
            "Unfallfrei": one_of("ja", "nein"),
            "Sitzheizung": one_of("ja", "nein"),
            "Inserat-ID": lambda car: 7_000_000 + car.n,
        },
        layout={"separator": ";"},
        says={"decimal": ",", "units": {"currency": "EUR", "distance": "km"}},
        reads={"fuelType": "Kraftstoff", "transmissionType": "Getriebe", "powerBhp": "Leistung"},
    ),
    "German of Windows, a title, no currency": Case(
        {
            "Fahrzeughersteller": MAKE,
            "Modellbezeichnung": MODEL,
            "Baujahr": YEAR,
            "Laufleistung (km)": lambda car: parted(car.km),
            "Verkaufspreis": lambda car: parted(car.price),
            "Straße": one_of("Müllerstraße", "Königsallee"),
        },
        layout={"separator": ";", "encoding": "cp1252", "above": "Fahrzeugliste Stand Juni\n\n"},
        says={"encoding": "cp1252", "header_row": 3, "decimal": ","},
        asks=("encoding", "header_row", "units", "decimal"),
    ),
    "French": Case(
        {
            "Marque": MAKE,
            "Modèle": MODEL,
            "Année": YEAR,
            "Kilométrage": lambda car: f"{parted(car.km, ' ')} km",
            "Prix (€)": lambda car: parted(car.price, " "),
            "Énergie": one_of("Essence", "Diesel"),
            "Boîte de vitesse": one_of("Manuelle", "Automatique"),
        },
        layout={"separator": ";"},
        says={"units": {"currency": "EUR", "distance": "km"}},
        reads={"fuelType": "Énergie", "transmissionType": "Boîte de vitesse"},
    ),
    "Spanish": Case(
        {
            "Título": lambda car: f"{car.make} {car.model} 1.6 Sport",
            "Precio": lambda car: f"{parted(car.price)} €",
            "Kilómetros": lambda car: f"{parted(car.km)} km",
            "Año": YEAR,
            "Combustible": one_of("Gasolina", "Diésel"),
            "Cambio": one_of("Manual", "Automático"),
            "Provincia": one_of("Madrid", "Sevilla", "León"),
        },
        says={"decimal": ","},
        reads={"region": "Provincia", "variant": "Título"},
    ),
    "Polish, thousands of PLN": Case(
        {
            "Marka pojazdu": MAKE,
            "Model pojazdu": MODEL,
            "Rok produkcji": YEAR,
            "Przebieg [km]": lambda car: parted(car.km, " "),
            "Cena (tys. PLN)": lambda car: f"{car.price / 1000:.1f}".replace(".", ","),
            "Moc (KM)": one_of("105", "150"),
            "Data publikacji": lambda car: f"{1 + car.n % 28:02}/06/2024",
        },
        layout={"separator": ";", "encoding": "cp1250"},
        says={"decimal": ",", "units": {"currency": "PLN", "distance": "km"}},
        reads={"listedOn": "Data publikacji", "powerBhp": "Moc (KM)"},
    ),
    "Czech": Case(
        {
            "Značka": MAKE,
            "Model": MODEL,
            "Rok výroby": YEAR,
            "Najeto": lambda car: f"{parted(car.km, ' ')} km",
            "Cena": lambda car: f"{parted(car.price, ' ')} Kč",
            "Převodovka": one_of("manuální", "automatická"),
            "Klimatizace": one_of("Ano", "Ne"),
        },
        cars=market(price=590_000),
        layout={"separator": ";", "encoding": "cp1250"},
        says={"encoding": "cp1250", "units": {"currency": "CZK", "distance": "km"}},
        asks=("encoding",),
        reads={"transmissionType": "Převodovka"},
    ),
    "Russian": Case(
        {
            "Марка": MAKE,
            "Модель": MODEL,
            "Год выпуска": YEAR,
            "Пробег, км": lambda car: parted(car.km, " "),
            "Цена, руб.": lambda car: parted(car.price, " "),
            "Двигатель": one_of("1,6 л", "2,0 л"),
            "Коробка": one_of("механика", "автомат"),
            "Дата размещения": lambda car: f"{1 + car.n % 28:02}.05.2024",
        },
        cars=market(RUSSIAN, 1_900_000),
        layout={"separator": ";", "encoding": "cp1251"},
        says={"encoding": "cp1251", "units": {"currency": "RUB", "distance": "km"}},
        asks=("encoding",),
        reads={"engineCc": "Двигатель", "listedOn": "Дата размещения"},
    ),
    "Swedish mil": Case(
        {
            "Märke": MAKE,
            "Modell": MODEL,
            "Årsmodell": YEAR,
            "Miltal": lambda car: car.km // 10,
            "Pris": lambda car: f"{parted(car.price, ' ')} kr",
            "Bränsle": one_of("Bensin", "Diesel"),
            "Växellåda": one_of("Manuell", "Automat"),
        },
        cars=market(price=290_000),
        says={"units": {"currency": "SEK", "distance": "km"}},
        asks=("units",),
    ),
    "Turkish": Case(
        {
            "Marka": MAKE,
            "Model": MODEL,
            "Yıl": YEAR,
            "Kilometre": lambda car: parted(car.km),
            "Fiyat": lambda car: f"{parted(car.price)} TL",
            "Yakıt": one_of("Benzin", "Dizel"),
            "Vites": one_of("Düz", "Otomatik"),
        },
        cars=market(price=1_500_000),
        says={"decimal": ",", "units": {"currency": "TRY", "distance": "km"}},
    ),
    "Chinese": Case(
        {
            "品牌": MAKE,
            "车系": MODEL,
            "上牌时间": lambda car: f"{car.year}年{1 + car.n % 12}月",
            "表显里程(万公里)": lambda car: f"{car.km / 10_000:.2f}",
            "价格（万元）": lambda car: f"{car.price / 10_000:.2f}",
            "变速箱": one_of("自动", "手动"),
            "燃料类型": one_of("汽油", "纯电动"),
        },
        cars=market(CHINESE, 180_000),
        layout={"encoding": "gb18030"},
        says={"encoding": "gb18030", "units": {"currency": "CNY", "distance": "km"}},
        asks=("encoding",),
    ),
    "Chinese titles": Case(
        {
            "标题": lambda car: f"{car.make} {car.model} {car.year}款 1.6L 自动舒适型",
            "里程": lambda car: f"{car.km / 10_000:.2f}万公里",
            "报价": lambda car: f"{car.price / 10_000:.2f}万",
        },
        cars=market(CHINESE, 180_000),
        asks=("make", "year", "units"),
    ),
    "Chinese titles without spaces": Case(
        {
            "车名": lambda car: f"{car.make}{car.model} {car.year}款 1.6L 自动",
            "里程(公里)": KM,
            "价格(万)": lambda car: car.price / 10_000,
        },
        cars=market(CHINESE, 180_000),
        asks=("make", "model", "year"),
        reads={"variant": "车名"},
    ),
    "makes that nobody knows, again in the title": Case(
        {
            "Brand": MAKE,
            "Car": lambda car: f"{car.make} {car.model} 1.5 Turbo",
            "Year": YEAR,
            "KM": KM,
            "Price (EUR)": PRICE,
        },
        cars=market((("Zotye", "T600"), ("Zotye", "Z100"), ("Landwind", "X7"), ("Soueast", "DX3"))),
        asks=("make", "model"),
        reads={"variant": "Car"},
    ),
    "Indian titles, the year first": Case(
        {
            "Car Name": lambda car: f"{car.year} {car.make} {car.model} VXI",
            "Distance": lambda car: f"{car.km:,} km",
            "Drive": one_of("Manual", "Automatic"),
            "Price": lambda car: f"₹{car.price / 100_000:.2f} Lakh",
        },
        cars=market(INDIAN, 900_000),
        says={"units": {"currency": "INR", "distance": "km"}},
        asks=("make", "model", "year"),
        reads={"transmissionType": "Drive"},
    ),
    "Japanese": Case(
        {
            "メーカー": MAKE,
            "車種": MODEL,
            "年式": lambda car: f"{car.year}年",
            "走行距離": lambda car: f"{car.km / 10_000:.2f}万km",
            "本体価格": lambda car: f"{car.price / 10_000:.1f}万円",
            "ミッション": one_of("AT", "MT"),
            "修復歴": one_of("あり", "なし"),
        },
        cars=market(JAPANESE, 2_400_000),
        layout={"encoding": "cp932"},
        says={"encoding": "cp932", "units": {"currency": "JPY", "distance": "km"}},
    ),
    "Korean": Case(
        {
            "제조사": MAKE,
            "모델": MODEL,
            "연식": YEAR,
            "주행거리": lambda car: f"{parted(car.km, ',')}km",
            "가격(만원)": lambda car: parted(car.price / 10_000, ","),
            "연료": one_of("가솔린", "디젤"),
        },
        cars=market(KOREAN, 32_000_000),
        says={"units": {"currency": "KRW", "distance": "km"}},
        price=lambda car: round(car.price, -4),
    ),
    "Arabic": Case(
        {
            "الماركة": MAKE,
            "الموديل": MODEL,
            "سنة الصنع": YEAR,
            "الممشى": lambda car: f"{parted(car.km, ',')} كم",
            "السعر": lambda car: f"{parted(car.price, ',')} ريال",
            "القير": one_of("أوتوماتيك", "عادي"),
        },
        cars=market(ARABIC, 90_000),
        says={"units": {"currency": "SAR", "distance": "km"}},
    ),
    "Persian": Case(
        {
            "برند": MAKE,
            "مدل": MODEL,
            "سال": lambda car: str(car.year - 621).translate(
                str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
            ),
            "کارکرد": lambda car: f"{car.km:,} کیلومتر".replace(",", "٬").translate(
                str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
            ),
            "قیمت": lambda car: f"{car.price:,} تومان",
        },
        cars=market((("پژو", "۲۰۶"), ("سایپا", "تیبا"), ("کیا", "سراتو")), 900_000_000),
        says={"units": {"currency": "IRT", "distance": "km"}},
        asks=("year",),
    ),
    "Hindi": Case(
        {
            "कंपनी": MAKE,
            "मॉडल": MODEL,
            "वर्ष": YEAR,
            "किलोमीटर": KM,
            "कीमत": lambda car: f"₹ {car.price / 100_000:.2f} लाख",
        },
        cars=market((("मारुति", "स्विफ्ट"), ("हुंडई", "क्रेटा"), ("टाटा", "नेक्सन")), 900_000),
        says={"units": {"currency": "INR", "distance": "km"}},
    ),
    "Indian lakh by name": Case(
        {
            "Car_Name": lambda car: f"{car.make} {car.model} VXI 1.2",
            "Year": YEAR,
            "Price_Lakh": lambda car: round(car.price / 100_000, 2),
            "New_Price": lambda car: round(car.price / 60_000, 2),
            "Kms_Driven": KM,
            "Mileage": one_of("23.4 kmpl", "18.2 kmpl"),
            "Engine": one_of("1248 CC", "998 CC"),
            "Power": one_of("74 bhp", "67.04 bhp"),
            "Fuel_Type": one_of("Petrol", "Diesel", "CNG"),
            "Owner": one_of("First Owner", "Second Owner"),
            "Seats": one_of("5", "7"),
        },
        cars=market(INDIAN, 900_000),
        says={"units": {"currency": "INR", "distance": "km"}},
        asks=("make", "model"),
        reads={"fuelEconomy": "Mileage", "engineCc": "Engine", "ownership": "Owner"},
    ),
    "lakh that nothing names": Case(
        {
            "Car_Name": lambda car: f"{car.make} {car.model}",
            "Year": YEAR,
            "Selling_Price": lambda car: round(car.price / 100_000, 2),
            "Present_Price": lambda car: round(car.price / 60_000, 2),
            "Kms_Driven": KM,
        },
        cars=market(INDIAN, 900_000),
        asks=("price", "make", "units"),
    ),
    "United States": Case(
        {
            "id": lambda car: 7_300_000_000 + car.n,
            "url": lambda car: f"https://example.com/{car.n}",
            "region": one_of("auburn", "boise"),
            "price": lambda car: f"${car.price:,}",
            "year": YEAR,
            "manufacturer": MAKE,
            "model": MODEL,
            "condition": one_of("good", "excellent"),
            "cylinders": one_of("4 cylinders", "6 cylinders"),
            "fuel": one_of("gas", "diesel", "other"),
            "odometer": KM,
            "transmission": one_of("automatic", "manual", "other"),
            "VIN": lambda car: f"WVWZZZ1KZ6W{car.n:06}",
            "type": one_of("SUV", "sedan", "pickup"),
            "paint_color": one_of("white", "black"),
            "lat": lambda car: 32.59 + car.n,
            "posting_date": lambda car: f"2024-05-{1 + car.n % 28:02}T12:31:18-0500",
        },
        says={"units": {"currency": "USD", "distance": "miles"}},
        asks=("units", "id"),
        reads={"bodyType": "type", "color": "paint_color", "listedOn": "posting_date", "id": "VIN"},
    ),
    "United States, units in the values": Case(
        {
            "brand": MAKE,
            "model": MODEL,
            "model_year": YEAR,
            "milage": lambda car: f"{car.km:,} mi.",
            "fuel_type": one_of("Gasoline", "Hybrid"),
            "engine": one_of("300.0HP 3.7L V6 Cylinder Engine", "172.0HP 1.6L 4 Cylinder Engine"),
            "transmission": one_of("6-Speed A/T", "8-Speed Automatic"),
            "ext_col": one_of("Black", "White"),
            "int_col": one_of("Gray", "Beige"),
            "clean_title": one_of("Yes", "No"),
            "price": lambda car: f"${car.price:,}",
            "date": lambda car: f"6/{1 + car.n % 28}/2024",
        },
        says={"units": {"currency": "USD", "distance": "miles"}},
        reads={"engineCc": "engine", "color": "ext_col", "listedOn": "date"},
    ),
    "United Kingdom": Case(
        {
            "model": MODEL,
            "year": YEAR,
            "price": PRICE,
            "transmission": one_of("Manual", "Automatic", "Semi-Auto"),
            "mileage": KM,
            "fuelType": one_of("Petrol", "Diesel"),
            "tax": one_of("145", "20"),
            "mpg": one_of("55.4", "67.3"),
            "engineSize": one_of("1.4", "2.0"),
        },
        cars=market((("Audi", "A1"), ("Audi", "A3"))),
        name="audi.csv",
        says={"units": {"currency": "XXX", "distance": "miles"}},
        asks=("units", "make"),
        reads={"engineCc": "engineSize", "roadTax": "tax", "fuelEconomy": "mpg"},
    ),
    "a title row in Excel": Case(
        {"Brand": MAKE, "Model": MODEL, "Reg. year": YEAR, "Mileage (miles)": KM, "£": PRICE}
        | {"Price": lambda car: f"£{car.price:,}"},
        layout={"above": [["Stock list"], []]},
        name="cars.xlsx",
        says={"header_row": 3, "units": {"currency": "GBP", "distance": "miles"}},
        asks=("header_row",),
    ),
    "listings on the second sheet": Case(
        {"Marke": MAKE, "Modell": MODEL, "Baujahr": YEAR, "Kilometerstand": KM, "Preis €": PRICE},
        layout={"first_sheet": ("Info", [["Autohaus"], ["Bestand Juni"]])},
        name="cars.xlsx",
        says={"sheet": "Cars", "units": {"currency": "EUR", "distance": "km"}},
        asks=("sheet",),
    ),
    "JSON lines": Case(ENGLISH, name="cars.jsonl", asks=("units",)),
    "JSON": Case(
        {"brand": MAKE, "carModel": MODEL, "regYear": YEAR, "mileageKm": KM, "priceEur": PRICE},
        name="cars.json",
        says={"units": {"currency": "EUR", "distance": "km"}},
    ),
    "Parquet": Case(ENGLISH, name="cars.parquet", asks=("units",)),
    "no header": Case(
        {"a": MAKE, "b": MODEL, "c": YEAR, "d": KM, "e": PRICE, "f": one_of("Diesel", "Petrol")},
        layout={"header": False},
        says={"header_row": 0},
        asks=("header_row", "make", "model", "year", "odometer", "price", "fuelType", "units"),
        reads={"fuelType": "column 6"},
    ),
    "no header, with units": Case(
        {
            "a": MAKE,
            "b": MODEL,
            "c": lambda car: f"03/{car.year}",
            "d": lambda car: f"{parted(car.km)} km",
            "e": lambda car: f"{parted(car.price)} EUR",
        },
        layout={"header": False, "separator": ";"},
        says={"header_row": 0, "decimal": ",", "units": {"currency": "EUR", "distance": "km"}},
        asks=("header_row", "make", "model", "year", "odometer", "price"),
    ),
    "names that say nothing": Case(
        {
            "col1": lambda car: 900_000 + car.n * 37 % 96,
            "col2": PRICE,
            "col3": KM,
            "col4": YEAR,
            "col5": one_of("Manual", "Automatic"),
            "col6": MODEL,
            "col7": MAKE,
            "col8": one_of("red", "blue", "white"),
        },
        asks=("make", "model", "year", "odometer", "price", "transmissionType", "units"),
        reads={"transmissionType": "col5"},
    ),
    "semicolon and decimal comma": Case(
        {
            "Merk": MAKE,
            "Model": MODEL,
            "Bouwjaar": YEAR,
            "Tellerstand": lambda car: f"{parted(car.km)},0",
            "Vraagprijs": lambda car: f"{parted(car.price)},00",
            "Cilinderinhoud": one_of("1,4", "2,0"),
        },
        layout={"separator": ";"},
        says={"decimal": ",", "units": {"currency": "EUR", "distance": "km"}},
        asks=("units",),
        reads={"engineCc": "Cilinderinhoud"},
    ),
    "sep=": Case(
        ENGLISH | {"price": lambda car: f"{car.price} zł"},
        layout={"separator": "|", "above": "sep=|\n"},
        says={"units": {"currency": "PLN", "distance": "km"}},
    ),
    "thousands that may be decimals": Case(
        {
            "Make": MAKE,
            "Model": MODEL,
            "Year": YEAR,
            "Odometer": lambda car: parted(car.km),
            "Price": lambda car: parted(1000 + car.price % 90_000),
        },
        says={"decimal": ","},
        asks=("decimal", "units"),
        price=lambda car: 1000 + car.price % 90_000,
    ),
    "points for thousands beside points for litres": Case(
        {
            "Make": MAKE,
            "Model": MODEL,
            "Year": YEAR,
            "Odometer": lambda car: parted(car.km),
            "Price": lambda car: parted(car.price),
            "Litres": one_of("1.6", "2.0"),
        },
        says={"decimal": "."},
        asks=("odometer", "price", "units"),
    ),
    "miles beside km": Case(
        ENGLISH
        | {
            "odometer": lambda car: (
                f"{car.km / 1.609344:.3f} miles" if car.n % 5 == 0 else f"{car.km} km"
            )
        },
        says={"units": {"currency": "XXX", "distance": "km"}},
        asks=("odometer", "units"),
    ),
    "years of two digits, thousands of km": Case(
        {
            "Brand": MAKE,
            "Model": MODEL,
            "Reg.": lambda car: f"{car.year % 100:02}",
            "Registration year": lambda car: f"{car.year % 100:02}",
            "Mileage (tkm)": lambda car: f"{car.km / 1000:.3f}",
            "Price EUR": PRICE,
        },
        says={"units": {"currency": "EUR", "distance": "km"}},
        asks=("year",),
    ),
    "days first in one number": Case(
        {key: cell for key, cell in ENGLISH.items() if key != "year"}
        | {"first registration": lambda car: f"{(1907, 2006, 1201)[car.n % 3]}{car.year}"},
        asks=("units",),
    ),
    "years of the last century in two digits": Case(
        ENGLISH | {"year": lambda car: car.year - 1924},
        year=lambda car: car.year - 24,
        asks=("year",),
    ),
    "marks for missing": Case(
        ENGLISH
        | {
            "price": PRICE,
            "odometer": lambda car: "-" if car.n % 10 == 0 else car.km,
        },
        asks=("odometer", "units"),
        odometer=lambda car: np.nan if car.n % 10 == 0 else car.km,
    ),
    "day numbers of Excel": Case(
        ENGLISH | {"posted": lambda car: 45_300 + car.n},
        name="cars.xlsx",
        asks=("units",),
        reads={"listedOn": "posted"},
    ),
    "lakh of three decimals": Case(
        {"make": MAKE, "model": MODEL, "year": YEAR, "km_driven": KM}
        | {"price_lakh": lambda car: f"{car.price / 100_000:.3f}"},
        cars=market(INDIAN, 900_000),
        asks=("price",),
    ),
    "thousands of euros, three decimals": Case(
        {"Marke": MAKE, "Modell": MODEL, "Baujahr": YEAR, "Kilometerstand": KM}
        | {"Preis in T€": lambda car: f"{car.price / 1000:.3f}".replace(".", ",")},
        layout={"separator": ";"},
        says={"units": {"currency": "EUR", "distance": "km"}},
        asks=("price",),
    ),
    "thousands of dollars, three decimals": Case(
        {"Make": MAKE, "Model": MODEL, "Year": YEAR, "Mileage": KM}
        | {"Price (k€)": lambda car: f"{car.price / 1000:.3f}"},
        asks=("price",),
    ),
    "Spanish thousands of kilometres and euros": Case(
        {"Marca": MAKE, "Modelo": MODEL, "Año": YEAR}
        | {"Kilometraje (miles)": lambda car: car.km / 1000}
        | {"Precio (miles de €)": lambda car: car.price / 1000},
        says={"units": {"currency": "EUR", "distance": "km"}},
        asks=("odometer", "price"),
    ),
    "Portuguese thousands": Case(
        {"Marca": MAKE, "Modelo": MODEL, "Ano": YEAR, "Km (mil)": lambda car: car.km // 1000}
        | {"Preço (mil R$)": lambda car: car.price / 1000},
        cars=market(price=90_000),
        says={"units": {"currency": "BRL", "distance": "km"}},
        asks=("odometer", "price"),
        odometer=lambda car: car.km // 1000 * 1000,
    ),
    "thousands beside the values": Case(
        {"Marca": MAKE, "Línea": one_of("A"), "Modelo": MODEL, "Año": YEAR}
        | {
            "Kilometraje": lambda car: f"{car.km // 1000} miles",
            "Precio": lambda car: f"{car.price} €",
        },
        says={"units": {"currency": "EUR", "distance": "km"}},
        asks=("odometer",),
        odometer=lambda car: car.km // 1000 * 1000,
    ),
    "Colombian": Case(
        {"Marca": MAKE, "Modelo": MODEL, "Año": YEAR, "Kilometraje": KM}
        | {"Precio": lambda car: f"$ {parted(car.price)}"},
        cars=market(price=90_000_000),
        says={"units": {"currency": "USD", "distance": "km"}, "decimal": ","},
        asks=("units",),
    ),
    "cents": Case(
        {name: cell for name, cell in ENGLISH.items() if name != "price"}
        | {"price_cents": lambda car: 100 * car.price},
        asks=("price",),
    ),
    "what a dealer paid beside what is asked": Case(
        {"make": MAKE, "model": MODEL, "year": YEAR, "annual mileage": one_of(9000, 12000)}
        | {"mileage": KM, "cost": lambda car: 0.8 * car.price, "internetPrice": PRICE}
        | {"msrp": lambda car: 3 * car.price},
        name="cars.jsonl",
        reads={"price": "internetPrice", "odometer": "mileage"},
    ),
    "nothing names the price, but the list price": Case(
        {"make": MAKE, "model": MODEL, "year": YEAR, "mileage": KM}
        | {"Purchase Price": lambda car: 0.8 * car.price, "MSRP": lambda car: 3 * car.price}
        | {"Sold For": PRICE},
        asks=("price",),
    ),
    "nothing but an average price": Case(
        {"make": MAKE, "model": MODEL, "year": YEAR, "mileage": KM, "avg_price_brl": PRICE},
        asks=("price",),
    ),
    "dates of the generation and of the car": Case(
        {"brand": MAKE, "model": MODEL, "modelDate": lambda car: car.year - 2}
        | {"productionDate": YEAR, "mileage": KM, "price": PRICE},
        reads={"year": "productionDate"},
    ),
    "Turkish series": Case(
        {
            "Marka": MAKE,
            "Seri": MODEL,
            "Model": one_of("1.6 TDI", "1.4", "2.0 Comfort"),
            "Yıl": YEAR,
            "Kilometre": KM,
            "Fiyat": lambda car: f"{parted(car.price)} TL",
        },
        cars=market(price=1_500_000),
        asks=("model",),
        reads={"model": "Seri", "variant": "Model"},
    ),
    "Danish, kilometres per litre": Case(
        {
            "Bil": lambda car: f"{car.make} {car.model} 1,6 TDi",
            "Pris": lambda car: f"{parted(car.price)} kr.",
            "1. reg.": lambda car: f"{1 + car.n % 12}/{car.year}",
            "Km/l": one_of("22,7 km/l", "18,2 km/l"),
            "Kilometertal": lambda car: parted(car.km),
        },
        cars=market(price=240_000),
        reads={"odometer": "Kilometertal"},
    ),
    "Korean values under English names": Case(
        {
            "Manufacturer": MAKE,
            "Model": MODEL,
            "FormYear": lambda car: f"{car.year % 100:02}/{1 + car.n % 12:02}식",
            "Mileage": KM,
            "Price": lambda car: car.price / 10_000,
        },
        cars=market(KOREAN, 32_000_000),
        says={"units": {"currency": "KRW", "distance": "km"}},
        asks=("units", "price", "year"),
    ),
    "Chinese values under English names": Case(
        {
            "title": lambda car: f"{car.make}{car.model} {car.year}款 1.5L",
            "price": lambda car: car.price / 10_000,
            "mileage": lambda car: f"{car.km / 10_000:.2f}万公里",
        },
        cars=market(CHINESE, 180_000),
        says={"units": {"currency": "CNY", "distance": "km"}},
        asks=("units", "price", "year"),
    ),
    "Vietnamese, names as in India": Case(
        {
            "car_name": lambda car: f"{car.make} {car.model} 1.5AT - {car.year}",
            "km_driven": lambda car: f"{car.km:,} Km",
            "price": lambda car: f"{car.price // 1_000_000} Triệu",
        },
        cars=market((("Toyota", "Vios"), ("Kia", "Morning")), 600_000_000),
        says={"units": {"currency": "VND", "distance": "km"}},
        asks=("units",),
        price=lambda car: car.price // 1_000_000 * 1_000_000,
    ),
    "titles that end with a comma and the year": Case(
        {
            "title": lambda car: f"{car.make} {car.model}, {car.year}",
            "price": lambda car: f"{car.price} €",
            "mileage": lambda car: f"{car.km} km",
        },
        cars=market((("Peugeot", "2008"), ("Peugeot", "3008"), ("Renault", "Clio"))),
        asks=("make", "year"),
    ),
    "Swedish mil in brackets": Case(
        {"Märke": MAKE, "Modell": MODEL, "Årgång": YEAR, "Pris (SEK)": PRICE}
        | {"Mätarställning (mil)": lambda car: car.km // 10},
        cars=market(price=290_000),
        says={"units": {"currency": "SEK", "distance": "km"}},
    ),
    "a mileage that may be an economy": Case(
        {"maker": MAKE, "model": MODEL, "year": YEAR, "price": PRICE}
        | {"mileage": lambda car: car.km / 10_000},
        asks=("odometer", "units"),
    ),
    "a sign of several currencies under a name of one": Case(
        {"Марка": MAKE, "Модель": MODEL, "Год": YEAR, "Пробег": KM}
        | {"Цена BYN": lambda car: f"{parted(car.price, ' ')} р."},
        cars=market(RUSSIAN),
        says={"units": {"currency": "BYN", "distance": "km"}},
    ),
    "titles that end with the year": Case(
        {
            "title": lambda car: f"{car.make} {car.model} 1.6 {car.year}",
            "price": lambda car: f"{car.price} €",
            "mileage": lambda car: f"{car.km} km",
        },
        asks=("make", "model", "year"),
    ),
    "spaces between columns, numbers for makes": Case(
        {"SaleID": lambda car: car.n, "regDate": lambda car: f"{car.year}0312"}
        | {"model": MODEL, "brand": MAKE, "kilometer": lambda car: car.km / 10_000, "price": PRICE},
        cars=market((("4", "40"), ("4", "41"), ("7", "72"))),
        layout={"separator": " "},
        says={"separator": " "},
        asks=("separator", "make", "odometer", "units"),
    ),
    "no distances": Case(
        {
            "make": MAKE,
            "model": MODEL,
            "year": YEAR,
            "price": PRICE,
            "colour": one_of("red", "blue"),
        }
        | {"Trim": lambda car: f"Trim {car.n}"},
        asks=("odometer", "units"),
        reads={"color": "colour"},
        odometer=lambda car: np.nan,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_as_it_is_meant(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = written(case, tmp_path)
    text, questions, missing = propose_params(str(path), quiet)
    assert missing == []
    proposed = yaml.safe_load(text)["ingest"]
    assert {key: proposed.get(key) for key in case.says} == case.says, text
    lines = text.splitlines()
    asked = {line.split(":")[0].strip(" '") for line in lines if "# ?" in line}
    assert asked >= {*case.asks}, text
    assert questions == sum("# ?" in line for line in lines)
    settings = IngestSettings.model_validate(proposed)
    chunks = map_chunks(read_chunks(settings), settings, price_required=True)
    read = pd.concat([mapped.frame for _, mapped in chunks])
    expected = {"make": MAKE, "model": MODEL, "year": case.year}
    expected |= {"odometer": case.odometer, "price": case.price}
    for column, cell in expected.items():
        truth = pd.Series([cell(car) for car in case.cars])
        if column in ("make", "model"):
            assert read[column].tolist() == truth.tolist(), text
        else:
            np.testing.assert_allclose(read[column], truth.astype(float), rtol=1e-6, err_msg=text)
    for key, column in case.reads.items():
        rule = proposed["columns"][key]
        assert (rule if isinstance(rule, str) else rule["from"]) == column, text
    report = ingest(settings, Workspace(tmp_path / "work"), quiet)
    assert report["rows_kept"] == len(case.cars), text


def proposed_for(case: Case, folder: Path) -> tuple[dict[str, Any], str]:
    text, _, _ = propose_params(str(written(case, folder)), quiet)
    return yaml.safe_load(text)["ingest"], text


def test_what_a_currency_is_worth_is_asked_before_a_run(tmp_path: Path) -> None:
    case = Case(ENGLISH | {"price": lambda car: f"{car.price} €" if car.n % 4 else f"${car.price}"})
    keys, text = proposed_for(case, tmp_path)
    assert "€ in 72, $ in 24 rows: write what one of each is in EUR" in text
    assert keys["columns"]["price"]["currencies"] == {"€": 1, "$": "..."}
    with pytest.raises(ValidationError, match="valid number"):
        IngestSettings.model_validate(keys)
    keys["columns"]["price"]["currencies"]["$"] = 0.9
    report = ingest(IngestSettings.model_validate(keys), Workspace(tmp_path / "work"), quiet)
    assert report["rows_kept"] == len(case.cars)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"price": lambda car: car.price if car.n % 3 else car.price / 100_000},
            "are prices in two units, such as lakh beside rupees?",
        ),
        (
            {"price": lambda car: car.price if car.n % 9 else car.price / 100_000},
            "# ? of 96 rows 85 would be kept: 11 price below",
        ),
        (
            {"price": lambda car: "Call us" if car.n % 9 == 0 else car.price},
            "values: {Call us: null}",
        ),
        ({"color": lambda car: car.n}, "color: null  # ? a column of this name is there"),
        ({"sold": one_of("yes", "no")}, "# yes/no columns that are read nowhere: sold"),
        ({"deposit": KM, "emi": KM}, "# not read: deposit, emi"),
        ({"year": lambda car: f"01/02/{car.year}", "odometer": YEAR}, "# odometer:  # ? no column"),
        (
            {"Currency": lambda car: "EUR" if car.n % 5 else "PLN"},
            "'Currency' tells several currencies (EUR in 76, PLN in 20 rows): bring them to one",
        ),
        (
            {"price": lambda car: f"U$S {car.price}" if car.n % 4 else f"$ {40 * car.price}"},
            "# ? u$s in 72, $ in 24 rows: write what one of each is in USD",
        ),
        ({"model": one_of("LX", "GT", "1.6")}, "model: model  # ? several makes share its values"),
        (
            {"mileage2": lambda car: f"{car.km % 90_000 + 1000:,}", "engine": one_of("1.4", "2.0")},
            "# not read: mileage2",
        ),
        (
            {"odometer": one_of("-"), "Kilometrage": lambda car: f"{car.km} miles"},
            "# ? the name tells kilometres, the values miles",
        ),
        (
            {"odometer unit": lambda car: "mi" if car.n % 5 else "km"},
            "another column tells several units (miles in 76, km in 20 rows): make it one",
        ),
        (
            {"listedOn": lambda car: f"{1 + car.n % 12}/{1 + car.n % 12}/2024"},
            "the month may come first: no value tells; else date: '%m/%d/%Y'",
        ),
    ],
)
def test_what_is_doubted_is_told(columns: Columns, told: str, tmp_path: Path) -> None:
    assert told in proposed_for(Case(ENGLISH | columns), tmp_path)[1]


def test_columns_of_objects_are_named(tmp_path: Path) -> None:
    columns = {"seller": lambda car: {"name": "A"}, "photos": lambda car: [{"url": "a"}]}
    text = proposed_for(Case(ENGLISH | columns, name="cars.jsonl"), tmp_path)[1]
    assert "# seller, photos: these columns hold objects, which no rule reads; write" in text
    nested = Case({"car": lambda car: {"make": car.make, "price": car.price}}, name="cars.json")
    with pytest.raises(InputError, match="listings of cars: car: these columns hold objects"):
        proposed_for(nested, tmp_path)


def test_what_holds_no_cars_or_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="listings of cars; its columns are n, x y"):
        proposed_for(Case({"n": lambda car: f"{car.n} a", "x y": one_of("?!")}), tmp_path)
    with pytest.raises(InputError, match="is no file, and carprice map reads files; write the"):
        propose_params("sqlite:///cars.db", quiet)


@pytest.mark.parametrize("name", ["cars.jsonl", "cars.xlsx"])
def test_only_the_first_rows_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carprice.listings.sources._FEWEST_OF_A_FILE", 40)
    path = written(Case(ENGLISH, name=name), tmp_path)
    chunks = first_chunks(IngestSettings(source=str(path)), 40)
    assert [len(chunk.frame) for chunk in chunks] == [40]


def test_makes_may_stand_in_the_names_of_files(tmp_path: Path) -> None:
    columns = {name: cell for name, cell in ENGLISH.items() if name != "make"}
    for name in ("audi", "hyundi", "vw"):
        written(Case(columns, market()[:40], name=f"{name}.csv"), tmp_path)
    text, _, missing = propose_params(str(tmp_path / "*.csv"), quiet)
    assert missing == []
    rule = yaml.safe_load(text)["ingest"]["columns"]["make"]
    assert rule == {
        "filename": True,
        "values": {"audi": "Audi", "hyundi": "Hyundai", "vw": "Volkswagen"},
    }
