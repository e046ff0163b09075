"""What a rehearsal is told: folders, sizes and times; and the addresses of its servers."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
SUBNET: Final = "10.89.78"
REGION: Final = "eu-north-1"
_QUICK_HEALTH_SECONDS: Final = 15


@dataclass(frozen=True)
class Options:
    """Folders, sizes and times of one rehearsal.

    Attributes
    ----------
    project : the project's folder.
    work : folder for what is kept between runs (base image, layers), and for this run's files.
    report : folder that the report and its picture are written to.
    instances : number of instances of a fleet.
    health_seconds : how long hooks wait for a healthy service; None: as deploy/service.env says.
    rate : requests a second.
    deregistration_seconds : how long an instance may finish requests before it is taken out.
    settle_seconds : load before and after each deployment that counts as the deployment's.
    """

    project: Path
    work: Path
    report: Path
    instances: int = 2
    health_seconds: int | None = None
    rate: int = 50
    deregistration_seconds: int = 30
    settle_seconds: float = 3.0

    @property
    def run(self) -> Path:
        """Folder of this run's files."""
        return self.work / "run"

    @property
    def logs(self) -> Path:
        """Folder of this run's logs."""
        return self.run / "logs"

    @property
    def private(self) -> Path:
        """Folder of what may hold secrets."""
        return self.run / "private"

    @property
    def tools(self) -> Path:
        """Folder of the AWS command line's environment."""
        return self.work / "aws"

    @property
    def gateway(self) -> str:
        """The host's address on the instances' network."""
        return f"{SUBNET}.1"

    @property
    def aws_url(self) -> str:
        """Address of all AWS calls."""
        return f"http://{self.gateway}:4566"

    @property
    def mlflow_url(self) -> str:
        """Address of the model registry."""
        return f"http://{self.gateway}:5500"

    @property
    def image_registry(self) -> str:
        """Host and port of the image registry."""
        return f"{self.gateway}:5000"

    @property
    def load_balancer(self) -> str:
        """Host and port of the load balancer."""
        return f"{self.gateway}:8080"


def read_options(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="deploy/rehearse")
    work = Path("/var/tmp/carprice-rehearsal")  # noqa: S108 - root's, and kept between runs
    parser.add_argument("--work", type=Path, default=work, help="kept files, logs (%(default)s)")
    parser.add_argument("--report", type=Path, help="folder of rehearsal.md and rehearsal.png")
    parser.add_argument("--instances", type=int, help="of a fleet; 2, with --quick 1")
    parser.add_argument("--rate", type=int, default=50, help="requests a second (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small fleets, short waits")
    given = parser.parse_args(arguments)
    if given.rate < 1 or (given.instances is not None and not 1 <= given.instances <= 20):
        parser.error("--rate must be 1 or more, --instances from 1 to 20")
    work, quick = given.work.resolve(), given.quick
    report = given.report or (work / "report" if quick else PROJECT / "docs")
    return Options(
        project=PROJECT,
        work=work,
        report=report.resolve(),
        instances=given.instances or (1 if quick else 2),
        health_seconds=_QUICK_HEALTH_SECONDS if quick else None,
        rate=given.rate,
        deregistration_seconds=10 if quick else 30,
        settle_seconds=1.0 if quick else 3.0,
    )
