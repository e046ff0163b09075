"""Machines of the tests for the scripts of the delivery, with stand-ins for what they call."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Done = subprocess.CompletedProcess[str]
ROOT = Path(__file__).resolve().parents[2]
IMAGE = f"registry.example.org/carprice@sha256:{secrets.token_hex(32)}"
# Answers as an ill-behaved program might: reads all of its input, whoever's it is.
STAND_IN = """#!{python} -IS
import json, os, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
call = {{"program": name, "words": words, "input": sys.stdin.read()}}
call["environment"] = dict(os.environ)
call["login_folder"] = os.path.isdir(os.environ.get("DOCKER_CONFIG", ""))
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(call) + "\\n")
with open({answers!r}) as answers:
    for answer in json.load(answers):
        if " ".join([name, *words]).startswith(answer["call"]):
            for option, text in answer["writes"].items():
                with open(words[words.index(option) + 1], "w") as written:
                    written.write(text)
            for made in answer["makes"].split():
                os.symlink(os.path.realpath(sys.argv[0]), os.path.join({programs!r}, made))
            sys.stdout.write(answer["output"])
            sys.stderr.write(answer["error"])
            raise SystemExit(answer["code"])
"""
TOOLS = (
    *("awk", "basename", "bash", "cat", "chmod", "chown", "curl", "dirname", "env", "grep", "head"),
    *("mkdir", "mktemp", "mv", "rm", "sed", "sleep", "tail", "timeout", "tr"),
)
RELEASE_TOOLS = ("cp", "cut", "date", "git", "gzip", "python3", "sha256sum", "tar")


@dataclass(frozen=True)
class Call:
    """What a stand-in was called with."""

    program: str
    words: list[str]
    input: str
    environment: dict[str, str]
    login_folder: bool

    def __str__(self) -> str:
        return " ".join([self.program, *self.words])


class StandIns:
    """A folder of programs: plain tools, and stand-ins that note their calls."""

    scripts: Path
    """Folder of the scripts."""

    def __init__(self, folder: Path, tools: Sequence[str]) -> None:
        self.programs, self.temporary = folder / "programs", folder / "tmp"
        for made in (self.programs, self.temporary):
            made.mkdir(parents=True)
        self._calls, self._answers = folder / "calls.jsonl", folder / "answers.json"
        self._answered: list[dict[str, Any]] = []
        self._program = folder / "stand-in"
        self._program.write_text(
            STAND_IN.format(
                python=sys.executable,
                calls=str(self._calls),
                answers=str(self._answers),
                programs=str(self.programs),
            )
        )
        self._program.chmod(0o755)
        for tool in tools:
            found = sys.executable if tool == "python3" else shutil.which(tool)
            if found is None:
                pytest.skip(f"{tool} is not installed")
            (self.programs / tool).symlink_to(found)

    def stand_in(self, *names: str) -> None:
        for name in names:
            (self.programs / name).symlink_to(self._program)

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.programs / name).unlink()

    def hurries(self) -> None:
        """Make a second of ``sleep`` a fiftieth of one."""
        self.lacks("sleep")
        sleep = self.programs / "sleep"
        sleep.write_text(f"#!{shutil.which('bash')}\nexec {shutil.which('sleep')} 0.02\n")
        sleep.chmod(0o755)

    def answers(self, call: str, output: str = "", **more: Any) -> None:
        """Answer calls that start with ``call``; later rules win.

        More are ``code``, ``error``, ``makes`` (names of the programs that are there after the
        call), and ``writes`` (options whose values name a file, and what is written there).
        """
        usual = {"code": 0, "error": "", "makes": "", "writes": {}}
        self._answered.insert(0, {**usual, "call": call, "output": output, **more})

    def run(self, script: str, *arguments: str, **environment: str) -> Done:
        """Run a script by its path, in another folder."""
        self._answers.write_text(json.dumps(self._answered))
        return subprocess.run(
            [self.scripts / script, *arguments],
            cwd="/",
            env={"PATH": str(self.programs), "TMPDIR": str(self.temporary), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def succeeds(self, script: str, *arguments: str, **environment: str) -> Done:
        """Run a script, and check that it exits with 0."""
        return self.fails(0, [], script, *arguments, **environment)

    def fails(
        self, code: int, told: Sequence[str], script: str, *arguments: str, **environment: str
    ) -> Done:
        """Run a script; check its exit code, and that its errors contain some texts."""
        done = self.run(script, *arguments, **environment)
        assert done.returncode == code, done.stderr
        for text in told:
            assert text in done.stderr
        return done

    @property
    def calls(self) -> list[Call]:
        if not self._calls.exists():
            return []
        return [Call(**json.loads(line)) for line in self._calls.read_text().splitlines()]

    @property
    def order(self) -> list[str]:
        """The calls without their options."""
        return [str(call).partition(" -")[0] for call in self.calls]

    def called(self, start: str) -> list[Call]:
        return [call for call in self.calls if str(call).startswith(start)]

    def never_shows(self, secret: str, *done: Done) -> None:
        """Check that a secret is in no argument, environment or output."""
        for call in self.calls:
            assert not any(secret in word for word in call.words)
            assert not any(secret in value for value in call.environment.values())
        for one in done:
            assert secret not in one.stdout + one.stderr


class Instance(StandIns):
    """Runs the hook scripts where the only other programs are plain tools and stand-ins."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TOOLS)
        self.bundle = folder / "bundle"
        self.state, self.secrets = folder / "state", folder / "run" / "secrets"
        self.scripts = self.bundle / "deploy" / "scripts"
        shutil.copytree(ROOT / "deploy" / "scripts", self.scripts)
        self.settings: dict[str, str | int] = {
            "IMAGE": IMAGE,
            "AWS_REGION": "xx-test-1",
            "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
            "MODEL_VERSION": 3,
            "PORT": 8000,
            "LOWEST": 300000,
            "HIGHEST": 900000,
        }
        self.listing({"make": "Maruti", "model": "Swift", "year": 2018, "odometer": 61000})
        self.stand_in("docker", "aws")
        if os.geteuid():  # only root gives files away
            (self.programs / "chown").unlink()
            self.stand_in("chown")

    def listing(self, content: Any) -> None:
        (self.bundle / "known_listing.json").write_text(json.dumps(content))

    def reads(self, variable: str, where: str) -> Path:
        """Let the bundle say where a variable's secret is; return the file it should go to."""
        self.settings[f"SECRET_{variable}"] = where
        return self.secrets / variable

    def run(self, script: str, *arguments: str, **environment: str) -> Done:
        lines = (f"{key}={value}\n" for key, value in self.settings.items())
        if self.settings:
            (self.bundle / "image.env").write_text("".join(lines))
        folders = {"STATE_FOLDER": str(self.state), "SECRETS_FOLDER": str(self.secrets)}
        return super().run(script, *arguments, **folders, **environment)


class Desk(StandIns):
    """Runs the release scripts of a copy of the project that is all committed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, (*TOOLS, *RELEASE_TOOLS))
        self.project = folder / "project"
        self.scripts = self.project / "deploy"
        self.environment: dict[str, str] = {}
        names = (
            "Dockerfile",
            ".dockerignore",
            "appspec.yml",
            "LICENSE",
            "pyproject.toml",
            "deploy",
        )
        for name in names:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            self.project.mkdir(exist_ok=True)
            copy(ROOT / name, self.project / name)
        identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
        for action in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "all")):
            self.git(*identity, *action)
        self.commit = self.git("rev-parse", "HEAD").strip()
        self.stand_in("aws", "podman", "carprice")

    def git(self, *words: str) -> str:
        return subprocess.check_output(["git", *words], cwd=self.project, text=True)

    def run(self, script: str, *arguments: str, **environment: str) -> Done:
        return super().run(script, *arguments, **{**self.environment, **environment})


@dataclass
class Service:
    """A stand-in for the service, which answers what a test wants, the last answer for ever."""

    health: list[int] = field(default_factory=lambda: [200])
    price: int = 200
    body: str = '{"predictedPrice":523000.0,"currency":"INR"}'
    version: str | None = "3"
    port: int = 0
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, method: str, path: str) -> tuple[int, str]:
        if (method, path) == ("GET", "/"):
            status = self.health.pop(0) if len(self.health) > 1 else self.health[0]
            return status, '{"status":"ok"}' if status == 200 else '{"status":"loading"}'
        return (self.price, self.body) if (method, path) == ("POST", "/predict") else (404, "{}")

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]


_ports_given: dict[int, object] = {}
# Below those that systems give to whoever asks for any: what is given here stays free until it is
# listened on, whatever other tests do meanwhile.
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """Return a port on which nobody listens, another one each time."""
    while True:
        port, asked = secrets.choice(_PORTS), object()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if _ports_given.setdefault(port, asked) is asked:
                return port
