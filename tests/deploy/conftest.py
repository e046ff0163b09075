"""An instance and a release desk of the tests: their scripts, and stand-ins for what they call."""

import http.server
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

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
            for made in answer["makes"]:
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
            found = shutil.which(tool)
            if found is None:
                pytest.skip(f"{tool} is not installed")
            (self.programs / tool).symlink_to(found)

    def stand_in(self, *names: str) -> None:
        for name in names:
            (self.programs / name).symlink_to(self._program)

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.programs / name).unlink()

    def answers(
        self,
        call: str,
        output: str = "",
        *,
        code: int = 0,
        error: str = "",
        makes: str = "",
        writes: Mapping[str, str] | None = None,
    ) -> None:
        """Let calls that begin so be answered so; the last such rule holds.

        ``makes`` are the names of the programs that are there after the call; ``writes`` are the
        options whose values name a file, and what is written there.
        """
        rule = {"call": call, "output": output, "code": code, "error": error}
        self._answered.insert(0, {**rule, "makes": makes.split(), "writes": dict(writes or {})})

    def _run(
        self, command: Sequence[str | Path], **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        self._answers.write_text(json.dumps(self._answered))
        return subprocess.run(
            command,
            cwd="/",
            env={"PATH": str(self.programs), "TMPDIR": str(self.temporary), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def run(
        self, script: str, *arguments: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        raise NotImplementedError

    def succeeds(
        self, script: str, *arguments: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script, and check that it exits with 0."""
        done = self.run(script, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done

    def fails(
        self, code: int, told: Sequence[str], script: str, *arguments: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script, and check its exit code and that its errors contain some texts."""
        done = self.run(script, *arguments, **environment)
        assert done.returncode == code
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

    def never_shows(self, secret: str, *done: "subprocess.CompletedProcess[str]") -> None:
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
        shutil.copytree(ROOT / "deploy" / "scripts", self.bundle / "deploy" / "scripts")
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

    def run(
        self, script: str, *arguments: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script as the CodeDeploy agent does: by its path, in another folder."""
        lines = (f"{key}={value}\n" for key, value in self.settings.items())
        if self.settings:
            (self.bundle / "image.env").write_text("".join(lines))
        folders = {"STATE_FOLDER": str(self.state), "SECRETS_FOLDER": str(self.secrets)}
        return self._run(
            [self.bundle / "deploy" / "scripts" / script, *arguments], **folders, **environment
        )


class Desk(StandIns):
    """Runs the release scripts of a copy of the project that is all committed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, (*TOOLS, *RELEASE_TOOLS))
        self.project = folder / "project"
        self.environment: dict[str, str] = {}
        for name in ("Dockerfile", ".dockerignore", "appspec.yml", "LICENSE", "pyproject.toml"):
            self.project.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.project / name)
        listed = (ROOT / "deploy").iterdir()
        for path in (path for path in listed if path.is_file()):
            (self.project / "deploy").mkdir(exist_ok=True)
            shutil.copy(path, self.project / "deploy" / path.name)
        for name in ("scripts", "locks"):
            shutil.copytree(ROOT / "deploy" / name, self.project / "deploy" / name)
        identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
        for action in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "all")):
            self.git(*identity, *action)
        self.commit = self.git("rev-parse", "HEAD").strip()
        self.stand_in("aws", "podman", "carprice")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.project, check=True, capture_output=True, text=True
        )
        return done.stdout

    def run(
        self, script: str, *arguments: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script from another folder."""
        command = [self.project / "deploy" / script, *arguments]
        return self._run(command, **{**self.environment, **environment})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


@pytest.fixture
def ecr_password(instance: Instance) -> str:
    """The registry's password, on an instance that has not the image yet."""
    token = secrets.token_urlsafe(40)
    instance.answers("docker image inspect", code=1)
    instance.answers("aws ecr get-login-password", f"{token}\n")
    return token


@dataclass
class Service:
    """A stand-in for the service, which answers what a test wants, the last answer for ever."""

    health: list[int] = field(default_factory=lambda: [200])
    price: int = 200
    body: str = '{"predictedPrice":523000.0,"currency":"INR"}'
    version: str | None = "3"
    port: int = 0
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()
    numbers = itertools.count()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.asked.append((self.command, self.path, dict(self.headers), content))
            if self.command == "GET" and self.path == "/":
                status = told.health[min(next(numbers), len(told.health) - 1)]
                self.tell(status, '{"status":"ok"}' if status == 200 else '{"status":"loading"}')
            elif self.command == "POST" and self.path == "/predict":
                self.tell(told.price, told.body)
            else:
                self.tell(404, "{}")

        do_GET = do_POST = answer  # noqa: N815

        def tell(self, status: int, text: str) -> None:
            self.send_response(status)
            if told.version is not None:
                self.send_header("X-Model-Version", told.version)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield told
        server.shutdown()
        thread.join()
