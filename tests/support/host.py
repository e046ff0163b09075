"""A single machine of ``deploy/host``, in a folder: its settings, its unit and its programs."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import units
from delivery import RELEASE_TOOLS, TOOLS, Done, StandIns, free_port

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = ("flock", "install")


def image(digit: str = "a") -> str:
    """Return the name of an image that there is nowhere."""
    return f"registry.example.org/carprice@sha256:{digit * 64}"


class Host(StandIns):
    """Runs ``carprice-host`` with a unit whose folders of the machine are the test's.

    ``container`` is the name under which the tests' podman runs what the unit calls carprice.
    """

    def __init__(self, folder: Path, tools: Sequence[str] = ()) -> None:
        super().__init__(folder, (*TOOLS, *RELEASE_TOOLS, *SYSTEM, *tools))
        self.scripts = ROOT / "deploy" / "host"
        self.config, self.state = folder / "etc", folder / "state"
        self.secrets = self.config / "secrets"
        self.secrets.mkdir(parents=True)
        self.port, self.container = free_port(), ""
        self.settings = {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "PORT": f"{self.port}",
            "CARPRICE_START_SECONDS": "1",
            "CARPRICE_DRAIN_SECONDS": "0",
        }
        text = (self.scripts / "carprice.service").read_text(encoding="utf-8")
        for usual, own in (
            ("/etc/carprice", self.config),
            (" /var/lib/carprice", f" {self.state}"),
            ("/usr/bin/docker", self.programs / "docker"),
        ):
            text = text.replace(usual, str(own))
        (folder / "unit").mkdir()
        self.unit = units.Unit(folder / "unit" / "carprice.service", folder / "unit")
        self.unit.unit.write_text(text, encoding="utf-8")
        self.stand_in("journalctl")

    def real_systemctl(self) -> None:
        """Let ``systemctl`` run the unit's commands."""
        words = [sys.executable, units.__file__, str(self.unit.unit), str(self.unit.state)]
        program = self.programs / "systemctl"
        program.write_text(f'#!{shutil.which("bash")}\nexec {" ".join(words)} "$@"\n')
        program.chmod(0o755)

    @property
    def images(self) -> tuple[str, str]:
        """The image that serves by the files, and the one before it."""
        texts = [
            path.read_text(encoding="utf-8") if path.exists() else ""
            for path in (self.config / "image.env", self.config / "image.env.before")
        ]
        now, before = (text.removeprefix("IMAGE=").strip() for text in texts)
        return now, before

    def run(self, script: str, *arguments: str, **environment: str) -> Done:
        if self.settings:
            lines = (f"{key}={value}\n" for key, value in self.settings.items())
            (self.config / "service.env").write_text("".join(lines))
        return super().run(script, *arguments, CONFIG_FOLDER=str(self.config), **environment)
