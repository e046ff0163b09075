"""Constant load in a process of its own: so many POST /predict a second, whatever comes back.

Usage: load.py URL RATE NOTES. Each request is one line of JSON in the file NOTES: when it was due
(seconds since 1970), seconds until the answer (from when it was due, so that a stall is not
hidden), status (0: none), X-Model-Version, and what was wrong. Ends at SIGTERM.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any, Final

import aiohttp

TIMEOUT_SECONDS: Final = 5.0
LISTINGS: Final[tuple[dict[str, Any], ...]] = (
    {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000},
    {"make": "Maruti", "model": "Swift", "variant": "VXI 1.2 AMT", "year": 2017, "odometer": 61000},
    {"make": "Hyundai", "model": "i20", "year": 2016, "odometer": 75000, "ownership": 2},
    {"make": "Hyundai", "model": "Creta", "year": 2020, "odometer": 33000, "fuelType": "Diesel"},
    {"make": "Honda", "model": "City", "year": 2015, "odometer": 88000},
    {"make": "Toyota", "model": "Innova", "year": 2014, "odometer": 120000, "ownership": 3},
)


async def ask(
    session: aiohttp.ClientSession, url: str, number: int, due: float, notes: IO[str]
) -> None:
    """Send one request and note what came of it."""
    status, version, problem = 0, "", ""
    try:
        async with session.post(url, json=LISTINGS[number % len(LISTINGS)]) as answer:
            status = answer.status
            version = answer.headers.get("X-Model-Version", "")
            price = (await answer.json()).get("predictedPrice")
            if status == 200 and not (isinstance(price, int | float) and price > 0):
                problem = "no price"
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        problem = type(error).__name__
    note = [round(due, 4), round(time.time() - due, 5), status, version, problem]
    notes.write(json.dumps(note) + "\n")


async def load(url: str, rate: float, notes: IO[str]) -> None:
    """Send requests at their times until told to stop, and wait for the last answers."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        pending: set[asyncio.Task[None]] = set()
        begun, number = time.time(), 0
        while not stop.is_set():
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            task = asyncio.create_task(ask(session, f"{url}/predict", number, due, notes))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
        await asyncio.gather(*pending)


if __name__ == "__main__":
    with Path(sys.argv[3]).open("w", encoding="utf-8", buffering=1) as written:
        asyncio.run(load(sys.argv[1], float(sys.argv[2]), written))
