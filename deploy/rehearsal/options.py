"""Options of a rehearsal: folders, sizes and times; and the addresses of its servers."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
REGION: Final = "eu-north-1"
SUBNET: Final = "10.89.78"
GATEWAY: Final = f"{SUBNET}.1"  # this machine, as instances see it
AWS: Final = f"{GATEWAY}:4566"
IMAGE_REGISTRY: Final = f"{GATEWAY}:5000"
MODEL_REGISTRY: Final = f"{GATEWAY}:5500"
LOAD_BALANCER: Final = f"{GATEWAY}:8080"


@dataclass
class Options:
    """Folders, sizes and times (in seconds) of one rehearsal.

    Attributes
    ----------
    work : folder for what is kept between runs (base image, layers), and for this run's files.
    report : folder for the report and its picture.
    instances : number of instances of a fleet.
    rate : requests a second.
    health_seconds : how long hooks wait for a healthy service; None: as deploy/service.env says.
    deregistration_seconds : how long a deregistered instance may finish its requests.
    settle_seconds : requests due this long before and after a deployment count as the deployment's.
    """

    work: Path
    report: Path
    instances: int = 2
    rate: int = 50
    health_seconds: int | None = None
    deregistration_seconds: int = 30
    settle_seconds: float = 3.0

    def __post_init__(self) -> None:
        self.tools = self.work / "aws"  # the AWS command line's environment
        self.run = self.work / "run"  # of this run alone
        self.logs = self.run / "logs"
        self.private = self.run / "private"  # what may hold secrets


def read_options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="deploy/rehearse")
    work = Path("/var/tmp/carprice-rehearsal")  # noqa: S108 - root's, and kept between runs
    parser.add_argument("--work", type=Path, default=work, help="kept files, logs (%(default)s)")
    parser.add_argument("--report", type=Path, help="folder of rehearsal.md and rehearsal.png")
    parser.add_argument("--instances", type=int, help="of a fleet; 2, with --quick 1")
    parser.add_argument("--rate", type=int, default=50, help="requests a second (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small fleets, short waits")
    given = parser.parse_args()
    if given.rate < 1 or (given.instances is not None and not 1 <= given.instances <= 20):
        parser.error("--rate must be 1 or more, --instances from 1 to 20")
    work, quick = given.work.resolve(), given.quick
    report = given.report or (work / "report" if quick else PROJECT / "docs")
    options = Options(work, report.resolve(), given.instances or (1 if quick else 2), given.rate)
    if quick:
        options.health_seconds, options.deregistration_seconds = 15, 10
        options.settle_seconds = 1.0
    return options
