"""Experiments in MLflow: a parent run with tables and pictures, a nested run for each model."""

import datetime
import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from carprice.arrays import Progress
from carprice.experiments.data import Data
from carprice.experiments.ranking import FIGURES, TIMES, Result
from carprice.files import writing
from carprice.registry.provenance import git_tags
from carprice.registry.tracking import clear_errors, connect, experiment_id, log_values

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARENT: Final = "mlflow.parentRunId"
_NOTE: Final = "mlflow.note.content"
_TABLES: Final = "mlflow.loggedArtifacts"
_PLAN: Final = "plan"
_RESULT: Final = "result.json"
_MOST: Final = 1000


@dataclass(frozen=True)
class Reporting:
    """Where an experiment's results go, and what is called to tell how far it is.

    Attributes
    ----------
    uri : of the MLflow server or database.
    workdir : folder in which a local MLflow database keeps its artifacts.
    out : folder for tables and pictures.
    progress, done, say : called with what is being done, with each finished model or trial, and
        with what else a person should know.
    """

    uri: str
    workdir: Path
    out: Path
    clock: Callable[[], datetime.datetime]
    progress: Progress
    done: Progress
    say: Progress

    def write(self, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
        """Write tables that have rows as CSV files; return the files."""
        files = {self.out / f"{name}.csv": table for name, table in tables.items() if len(table)}
        for file, table in files.items():
            with writing(file) as path:
                table.to_csv(path, index=False, lineterminator="\n")
        return [*files]


class ParentRun:
    """The run of one experiment, whose nested runs are its models or trials."""

    def __init__(self, client: "MlflowClient", run: "Run", to: Reporting, *, resumed: bool) -> None:
        self.id: str = run.info.run_id
        self.resumed = resumed
        self._client, self._to = client, to
        self._experiment: str = run.info.experiment_id

    def _nested(self, status: str) -> list["Run"]:
        query = f"tags.`{_PARENT}` = '{self.id}' and attributes.status = '{status}'"
        with clear_errors(self._to.uri):
            return list(self._client.search_runs([self._experiment], query, max_results=_MOST))

    def finished(self) -> dict[str, tuple[Mapping[str, float], ...]]:
        """Return the figures of each fold of the nested runs that finished, by run name."""
        folds = {}
        with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
            for run in self._nested("FINISHED"):
                with clear_errors(self._to.uri):
                    file = self._client.download_artifacts(run.info.run_id, _RESULT, scratch)
                content = json.loads(Path(file).read_text(encoding="utf-8"))
                folds[run.info.run_name] = tuple(content["folds"])
        return folds

    def begin(self, name: str, params: Mapping[str, Any]) -> str:
        """Start a nested run; return its id."""
        with clear_errors(self._to.uri):
            tags = {_PARENT: self.id}
            run = self._client.create_run(self._experiment, run_name=name, tags=tags)
            log_values(self._client, run.info.run_id, params, {}, self._to.clock())
        return str(run.info.run_id)

    def end(self, run: str, result: Result, state: str) -> None:
        """End a nested run: log the figures of each fold, and their means if it is complete.

        Parameters
        ----------
        state : complete, pruned or failed.
        """
        figures: dict[str, float | Sequence[float]] = {}
        if result.folds:
            figures |= {f"fold_{name}": result.values(name).tolist() for name in (*FIGURES, *TIMES)}
        if state == "complete" and len(result.folds) > 1:
            figures |= result.summary()
        with clear_errors(self._to.uri):
            log_values(self._client, run, {}, figures, self._to.clock())
            self._client.set_tag(run, "state", state)
            if result.reason:
                self._client.set_tag(run, "reason", result.reason)
            if state != "failed":
                self._client.log_dict(run, {"folds": [*map(dict, result.folds)]}, _RESULT)
            self._client.set_terminated(run, "FAILED" if state == "failed" else "FINISHED")

    def kill(self, *runs: str) -> None:
        """Mark runs that will have no result as killed."""
        with clear_errors(self._to.uri):
            for run in runs:
                self._client.set_terminated(run, "KILLED")

    def kill_running(self, but: Collection[str] = ()) -> None:
        """Mark the running nested runs as killed, except ``but``: those of other processes."""
        running = (run.info.run_id for run in self._nested("RUNNING"))
        self.kill(*(run for run in running if run not in but))

    def log(
        self,
        figures: Mapping[str, float],
        tables: Mapping[str, pd.DataFrame],
        files: Sequence[Path],
        note: str,
    ) -> None:
        """Log the results: figures, tables that MLflow's pages show, files, and a description.

        What an earlier call logged is replaced; ``MlflowClient.log_table`` would add to its tables.
        """
        with clear_errors(self._to.uri):
            log_values(self._client, self.id, {}, figures, self._to.clock())
            for name, table in tables.items():
                content = table.to_json(orient="split", index=False, date_format="iso")
                self._client.log_text(self.id, content, f"{name}.json")
            shown = [{"path": f"{name}.json", "type": "table"} for name in tables]
            self._client.set_tag(self.id, _TABLES, json.dumps(shown))
            for path in files:
                self._client.log_artifact(self.id, str(path))
            self._client.set_tag(self.id, _NOTE, note)

    def finish(self) -> None:
        """Mark the run as finished."""
        with clear_errors(self._to.uri):
            self._client.set_terminated(self.id, "FINISHED")


def plan_digest(plan: Any) -> str:
    """Return the SHA-256 of a plan that consists of JSON values."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def open_parent(
    to: Reporting,
    experiment: str,
    title: str,
    data: Data,
    *,
    plan: str,
    params: Mapping[str, Any],
    reopen: bool = False,
) -> ParentRun:
    """Continue the first unfinished run of the same plan, or start one.

    Parameters
    ----------
    title : first words of the run's name.
    plan : digest of what is to be done, see :func:`plan_digest`.
    reopen : whether a finished run is continued, too.

    Raises
    ------
    RefusedError
        If MLflow does not answer.
    """
    client = connect(to.uri)
    with clear_errors(to.uri):
        number = experiment_id(client, to.uri, experiment, to.workdir)

        def first() -> "Run | None":
            runs = client.search_runs([number], f"tags.{_PLAN} = '{plan}'", max_results=_MOST)
            ours = [run for run in runs if reopen or run.info.status != "FINISHED"]
            return min(ours, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

        if found := first():
            client.update_run(found.info.run_id, status="RUNNING")
            return ParentRun(client, found, to, resumed=True)
        tags = {
            "mlflow.source.name": f"carprice experiments: {experiment}",
            "mlflow.source.type": "LOCAL",
            "data_digest": data.market.data_digest,
            "raw_digest": data.raw_digest,
            **git_tags(Path()),
            _PLAN: plan,
        }
        name = f"{title} {data.short_source} {to.clock():%Y-%m-%d %H:%M}"
        run = client.create_run(number, run_name=name, tags=tags)
        params = {"source": data.source, "rows": len(data.log_price), **params}
        log_values(client, run.info.run_id, params, {}, to.clock())
        earliest = first() or run
        if earliest.info.run_id != run.info.run_id:  # another process started at the same time
            client.delete_run(run.info.run_id)
        return ParentRun(client, earliest, to, resumed=False)
