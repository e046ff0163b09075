"""What a rehearsal is told: folders, sizes and times."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUBNET: Final = "10.89.78"
REGION: Final = "eu-north-1"
MODEL_NAME: Final = "used-car-price"


@dataclass(frozen=True)
class Plan:
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
    def service_url(self) -> str:
        """Address of the load balancer."""
        return f"http://{self.gateway}:8080"
