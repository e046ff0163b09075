"""The service with log, shadow and canary while things break: failed requests, and what is lost.

Two instances answer at once, each with a challenger: one has it price beside its answers and keeps
its log in a folder on a small disk, the other has it answer for a share of the cars and sends its
log to S3 (moto's server). Clients ask both in turn at a constant rate, and ask the other one where
a connection breaks, as a load balancer does. Meanwhile each is killed with SIGKILL and started
again, the disk is filled, and S3 stops to answer. Then every answer is looked for in both logs.
Needs Linux; filling a disk needs root.
"""

import argparse
import dataclasses
import http.client
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from bodies import compact_json, sample_listings
from command import Parser, report, run
from rich.console import Console
from rich.table import Table
from sample_registry import sample_registry
from servers import Server, ServerError, clean_environment, free_port, running
from services import CARPRICE_OPTIONS
from shadowing import challenge, wait_for_challenger

from carprice.arrays import Progress
from carprice.errors import CarpriceWarning
from carprice.monitoring.canary import share_of
from carprice.monitoring.observations import read_log
from carprice.monitoring.records import ALIAS, PROBLEM, QUOTE_ID, SHADOW

SHADOW_SHARE: Final = 0.2
CANARY_SHARE: Final = 0.2
_BUCKET: Final = "cars"
_CLIENTS: Final = 8
_RETRY_SECONDS: Final = 20.0
_KILL_SECONDS: Final = 1.0
"""What was answered so shortly before a kill may be in no log."""
_DISK: Final = "8m"
_DROPPED: Final = re.compile(
    r'^carprice_prediction_log_dropped_total\{reason="(\w+)"\} (\S+)', re.MULTILINE
)
_EPILOG: Final = (
    "example: python benchmarks/after_release.py --seconds 20\n"
    "exit codes: 0 done, 1 a request failed or something is lost or corrupt, 2 cannot run here"
)


@dataclass(frozen=True)
class Answered:
    """One answer: when it came, from which instance, and what it said."""

    moment: float
    instance: int
    place: int
    quote: str
    alias: str


@dataclass
class Clients:
    """Ask all instances in turn, at a rate, for one listing after the other."""

    ports: Sequence[int]
    listings: Sequence[Mapping[str, Any]]
    rate: float
    answers: list[Answered] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    again: int = 0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask until the block ends."""
        bodies = [compact_json(one) for one in self.listings]
        done, places, lock = threading.Event(), itertools.count(), threading.Lock()
        start = time.monotonic()

        def ask() -> None:
            connections: dict[int, http.client.HTTPConnection] = {}
            while not done.is_set():
                with lock:
                    place = next(places)
                done.wait(max(start + place / self.rate - time.monotonic(), 0))
                self._ask(connections, place, bodies[place % len(bodies)])
            for connection in connections.values():
                connection.close()

        with ThreadPoolExecutor(_CLIENTS) as threads:
            asking = [threads.submit(ask) for _ in range(_CLIENTS)]
            try:
                yield
            finally:
                done.set()
        for one in asking:
            one.result()

    def _ask(
        self, connections: dict[int, http.client.HTTPConnection], place: int, body: str
    ) -> None:
        until = time.monotonic() + _RETRY_SECONDS
        for instance in itertools.islice(itertools.cycle(range(len(self.ports))), place, None):
            connection = connections.setdefault(
                instance, http.client.HTTPConnection("127.0.0.1", self.ports[instance], timeout=10)
            )
            try:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/predict", body, headers)
                reply = connection.getresponse()
                content = reply.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.again += 1
                if time.monotonic() > until:
                    self.failures[type(error).__name__] += 1
                    return
                time.sleep(0.02)
                continue
            if reply.status != HTTPStatus.OK:
                self.failures[f"status {reply.status}"] += 1
                return
            told = json.loads(content)
            quote, alias = told["quoteId"], told.get("alias", "production")
            where = place % len(self.listings)
            self.answers.append(Answered(time.time(), instance, where, quote, alias))
            return


@dataclass
class Instance:
    """A service that can be killed and started again.

    Attributes
    ----------
    killed, complete : when it was killed, and when it had its challenger.
    dropped : what its log has dropped so far, by why.
    """

    port: int
    folder: Path
    environment: Mapping[str, str]
    killed: list[float] = field(default_factory=list)
    complete: list[float] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    _stack: ExitStack = field(default_factory=ExitStack)
    _server: Server | None = None

    def start(self, body: str) -> None:
        """Start it, and wait until it answers and has its challenger."""
        command = [sys.executable, *CARPRICE_OPTIONS, str(self.port)]
        serving = running(command, self.port, self.folder, self.environment)
        self._server = self._stack.enter_context(serving)
        self._server.wait_for_answer("/predict", body)
        wait_for_challenger(self._server)
        self.complete.append(time.time())

    def kill(self) -> None:
        """Kill it, as if the power went."""
        self.look()
        self.killed.append(time.time())
        self.server.process.kill()
        self.server.process.wait()

    def look(self) -> None:
        """Add what the process says that its log has dropped; to be called once a process."""
        _, text = self.server.ask("/metrics")
        self.dropped.update({name: int(float(count)) for name, count in _DROPPED.findall(text)})

    def end(self) -> None:
        """Stop it as an orchestrator does."""
        self.look()
        self.server.process.send_signal(signal.SIGTERM)
        self.server.process.wait(30)

    @property
    def server(self) -> Server:
        """The running process."""
        if self._server is None:
            raise ServerError("the instance was not started")
        return self._server

    def close(self) -> None:
        """Leave nothing behind."""
        self._stack.close()


@dataclass
class Result:
    """What came of it; ``problems`` are what must not be."""

    answers: int = 0
    asked_again: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    in_the_log: int = 0
    lost_by_kills: int = 0
    lost_otherwise: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    shadows: int = 0
    shadow_problems: int = 0
    canaries: int = 0
    canary_share: float = 0.0
    before_it_was_loaded: int = 0
    not_tried: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk at a folder until the block ends; gives whether that could be done."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    can = shutil.which("mount") is not None
    can = can and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield can
    finally:
        if can:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def s3_server(folder: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """Serve S3 with an empty bucket; gives the server, and the variables of a login."""
    import boto3  # noqa: PLC0415 (who asks for --help need not have it)

    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1"]
    login = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with running([*command, "-p", str(port)], port, folder, clean_environment({})) as server:
        server.wait_for_answer("/moto-api/")
        client = boto3.client(
            "s3",
            endpoint_url=login["AWS_ENDPOINT_URL"],
            aws_access_key_id=login["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=login["AWS_SECRET_ACCESS_KEY"],
            region_name=login["AWS_DEFAULT_REGION"],
        )
        client.create_bucket(Bucket=_BUCKET)
        client.close()
        yield server, login


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte; return the file that does it."""
    path = disk / "filled"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
    return path


def measure(options: argparse.Namespace, scratch: Path, progress: Progress) -> Result:
    """Start all, break one thing after the other, and look for every answer in the logs."""
    seconds: float = options.seconds
    listings = sample_listings()
    result = Result()
    with ExitStack() as stack:
        uri = stack.enter_context(sample_registry(options.workdir, scratch, progress))
        progress("registering a challenger")
        challenge(uri, scratch)
        disk = scratch / "disk"
        has_disk = stack.enter_context(small_disk(disk))
        s3, login = stack.enter_context(s3_server(scratch))
        logs = (str(disk / "log"), f"s3://{_BUCKET}/log")
        common = {"MLFLOW_TRACKING_URI": uri, "CARPRICE_PREDICTION_LOG_SECONDS": "2"}
        own = (
            {"CARPRICE_CHALLENGER": "shadow", "CARPRICE_SHADOW_SHARE": str(SHADOW_SHARE)},
            {"CARPRICE_CHALLENGER": "canary", "CARPRICE_CANARY_SHARE": str(CANARY_SHARE), **login},
        )
        instances = []
        for place, (variables, log) in enumerate(zip(own, logs, strict=True)):
            progress("starting the services")
            folder = scratch / f"service-{place}"
            folder.mkdir()
            kept = {
                "CARPRICE_MODEL_CACHE": str(folder / "models"),
                "CARPRICE_PREDICTION_LOG": log,
                "CARPRICE_PREDICTION_LOG_SPOOL": str(folder / "spool"),
            }
            environment = clean_environment({**common, **kept, **variables})
            instance = Instance(free_port(), folder, environment)
            stack.callback(instance.close)
            instance.start(compact_json(listings[0]))
            instances.append(instance)
        clients = Clients([one.port for one in instances], listings, options.rate)
        with clients.asking():

            def pause(what: str) -> None:
                progress(f"{what}: {len(clients.answers):,} answers")
                time.sleep(seconds)

            pause("all is well")
            for instance in instances:
                instance.kill()
                pause("one was killed")
                instance.start(compact_json(listings[0]))
                pause("it was started again")
            if has_disk:
                filled = fill(disk)
                pause("the disk is full")
                filled.unlink()
                pause("it has room again")
            else:
                result.not_tried.append("a full disk: no leave to mount a small one")
            s3.process.send_signal(signal.SIGSTOP)
            pause("S3 does not answer")
            s3.process.send_signal(signal.SIGCONT)
            pause("S3 answers again")
        progress("looking for every answer in the logs")
        for instance in instances:
            instance.end()
        with _environment(login):
            judge(result, clients, instances, logs)
    return result


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def judge(
    result: Result, clients: Clients, instances: Sequence[Instance], logs: Sequence[str]
) -> None:
    """Compare what clients were answered with what the logs hold."""
    result.answers, result.asked_again = len(clients.answers), clients.again
    result.failures = dict(clients.failures)
    need = _need_of(result)
    need(not clients.failures, f"requests failed: {dict(clients.failures)}")
    dropped: Counter[str] = sum((one.dropped for one in instances), Counter())
    result.dropped = dict(dropped)
    for place, (instance, log) in enumerate(zip(instances, logs, strict=True)):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", CarpriceWarning)
            rows = read_log(log)
        corrupt = [str(one.message) for one in told if one.category is CarpriceWarning]
        need(not corrupt, f"corrupt: {corrupt}")
        shadows, answers = rows[rows[SHADOW]], rows[~rows[SHADOW]]
        need(answers[QUOTE_ID].is_unique, f"an answer is twice in {log}")
        need(shadows[QUOTE_ID].is_unique, f"a price beside is twice in {log}")
        alias = dict(zip(answers[QUOTE_ID], answers[ALIAS], strict=True))
        own = [one for one in clients.answers if one.instance == place]
        need({*alias.values()} <= {"production", "challenger"}, f"odd aliases in {log}")
        wrong = sum(alias.get(one.quote, one.alias) != one.alias for one in own)
        need(not wrong, f"{wrong} answers are in {log} under the alias of the other model")
        missing = [one for one in own if one.quote not in alias]
        by_kill = sum(_is_by_kill(one.moment, instance.killed) for one in missing)
        result.in_the_log += len(own) - len(missing)
        result.lost_by_kills += by_kill
        result.lost_otherwise += len(missing) - by_kill
        need(
            len(missing) - by_kill <= instance.dropped.total(),
            f"{len(missing) - by_kill} answers are not in {log}, and {instance.dropped.total()} "
            "were counted",
        )
        result.shadows += len(shadows)
        result.shadow_problems += int((shadows[PROBLEM].fillna("") != "").sum())
    _judge_canary(result, clients, instances[1], need)


def _judge_canary(
    result: Result, clients: Clients, instance: Instance, need: Callable[[bool, str], None]
) -> None:
    """Each car has to be answered by its model, but for the seconds until that is loaded."""
    numbers = [share_of(_snake(one)) for one in clients.listings]
    (_, again), (killed,) = instance.complete, instance.killed
    answers = [one for one in clients.answers if one.instance == 1]
    own = [one for one in answers if not killed <= one.moment <= again]
    result.before_it_was_loaded = len(answers) - len(own)
    canaries = [one for one in own if one.alias == "challenger"]
    result.canaries, result.canary_share = len(canaries), len(canaries) / max(len(own), 1)
    strangers = [one for one in canaries if numbers[one.place] >= CANARY_SHARE]
    need(not strangers, f"{len(strangers)} cars were answered by the challenger, and are not its")
    chosen = sum(numbers[one.place] < CANARY_SHARE for one in own)
    need(len(canaries) >= 0.99 * chosen, f"{len(canaries)} of {chosen} of its cars are by it")
    need(
        not [one for one in clients.answers if one.instance == 0 and one.alias != "production"],
        "the challenger answered where it was only to price beside",
    )


def _snake(listing: Mapping[str, Any]) -> dict[str, Any]:
    return {name: listing.get(name) for name in ("make", "model", "year", "odometer")}


def _is_by_kill(moment: float, killed: Sequence[float]) -> bool:
    return any(at - _KILL_SECONDS <= moment <= at + _KILL_SECONDS for at in killed)


def _need_of(result: Result) -> Callable[[bool, str], None]:
    def need(is_so: bool, problem: str) -> None:
        if not is_so:
            result.problems.append(problem)

    return need


def main() -> int:
    """Run from the command line."""
    parser = Parser(__doc__, _EPILOG)
    parser.add_argument(
        "--rate", type=float, default=200.0, help="requests/s (default: %(default)g)"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of each of the phases (default: %(default)g)"
    )
    options = parser.read()
    result = run(lambda scratch, progress: measure(options, scratch, progress))

    def show(out: Console) -> None:
        table = Table(title=f"{options.rate:g} requests/s", title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        for name, value in dataclasses.asdict(result).items():
            if name != "problems":
                table.add_row(
                    name.replace("_", " "),
                    f"{value:.3f}" if isinstance(value, float) else f"{value}",
                )
        out.print(table)
        for problem in result.problems:
            out.print(f"FAIL  {problem}", markup=False, soft_wrap=True)

    report(dataclasses.asdict(result), options.json, show)
    return int(bool(result.problems))


if __name__ == "__main__":
    sys.exit(main())
