"""The unit of ``deploy/host`` runs the real image, and ``carprice-host`` changes it.

podman stands for docker, and ``tests/support/units.py`` for systemd, which runs in no container of
tests: it runs the unit's own commands, from the unit's file.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from containers import LISTING, Container, built, inspected, podman, real_docker
from host import Host

SCRIPT = "carprice-host"

pytestmark = pytest.mark.usefixtures("base_image")


@pytest.fixture(scope="module")
def images(
    image: str, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Images by their digests: two with a model, and one whose service ends at once."""
    context = tmp_path_factory.mktemp("context")
    shutil.copytree(model_folder, context / "model")
    model = "COPY model /opt/own\nENV CARPRICE_BAKED_MODEL=/opt/own\n"
    files = {
        "first": f"{model}LABEL turn=first\n",
        "second": f"{model}LABEL turn=second\n",
        "broken": 'ENTRYPOINT ["python3", "-c", "raise SystemExit(\'no service is here\')"]\n',
    }
    names = {}
    for name, text in files.items():
        (context / "Dockerfile").write_text(f"FROM {image}\n{text}")
        names[name] = built(context)
    yield {name: inspected(made)["RepoDigests"][0] for name, made in names.items()}
    podman("rmi", *names.values(), check=False)


@contextmanager
def silence(service: Container) -> Iterator[list[float]]:
    """Ask for health all the time; afterwards, the list has the longest time without an answer."""
    found, over = [0.0], threading.Event()

    def ask() -> None:
        last = time.monotonic()
        while not over.is_set():
            with suppress(requests.RequestException):
                if service.ask("/").status_code == 200:
                    found[0] = max(found[0], time.monotonic() - last)
                    last = time.monotonic()
            time.sleep(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.real_systemctl()
    made.container = real_docker(made.programs / "docker")
    made.secrets.chmod(0o500)
    os.chown(made.secrets, 10001, 10001)
    try:
        yield made
    finally:
        podman("rm", "--force", "--time", "0", made.container, check=False)


def test_updated_refused_and_rolled_back(
    host: Host, images: dict[str, str], record_property: Callable[..., None]
) -> None:
    service = Container(host.container, host.port, 0)
    host.settings["HEALTH_SECONDS"] = "60"
    host.succeeds(SCRIPT, "update", images["first"])
    assert service.health()["source"] == "image"
    assert service.ask("/predict", LISTING).json()["predictedPrice"] > 0
    (made,) = json.loads(podman("inspect", host.container).stdout)
    assert made["ImageName"] == images["first"]
    assert made["HostConfig"]["ReadonlyRootfs"]
    assert made["HostConfig"]["Memory"] == 1 << 30
    assert made["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert not made["EffectiveCaps"]
    assert {one["Destination"] for one in made["Mounts"]} >= {"/run/secrets", "/var/lib/carprice"}
    assert "active" in host.succeeds(SCRIPT, "status").stdout

    with silence(service) as found:
        host.succeeds(SCRIPT, "update", images["second"])
    record_property("seconds without an answer", found[0])
    print(f"{found[0]:.1f} s without an answer")  # noqa: T201
    assert host.images == (images["second"], images["first"])

    host.settings["HEALTH_SECONDS"] = "12"
    told = ["not healthy after 12 s", f"{images['second']} serves again"]
    host.fails(1, told, SCRIPT, "update", images["broken"])
    assert "no service is here" in (host.unit.state / "log").read_text()
    (made,) = json.loads(podman("inspect", host.container).stdout)
    assert made["ImageName"] == images["second"]
    assert service.ask("/predict", LISTING).status_code == 200
    assert host.images == (images["second"], images["first"])

    host.settings["HEALTH_SECONDS"] = "60"
    host.succeeds(SCRIPT, "rollback")
    (made,) = json.loads(podman("inspect", host.container).stdout)
    assert made["ImageName"] == images["first"]
    assert service.ask("/predict", LISTING).status_code == 200

    host.unit.stop()
    assert podman("container", "exists", host.container, check=False).returncode == 1
    assert "Application shutdown complete" in (host.unit.state / "log").read_text()
    assert "inactive" in host.fails(1, [], SCRIPT, "status").stdout
