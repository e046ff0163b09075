"""Experiments in MLflow: a parent run with tables and pictures, a nested run for each model."""

import datetime
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from carprice.arrays import Progress
from carprice.experiments.data import Data
from carprice.experiments.ranking import Result
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
    """Where an experiment's results go, and who is told how far it is.

    Attributes
    ----------
    uri : of the MLflow server or database.
    workdir : below which a local database keeps its artifacts.
    out : folder for tables and pictures.
    clock : tells the time.
    progress : is told what is being done.
    done : is told of each model or trial that came to an end.
    say : is told what a person should know.
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

    def finished(self) -> dict[str, list[dict[str, float]]]:
        """Return the folds of the nested runs that finished, by name."""
        folds = {}
        with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
            for run in self._nested("FINISHED"):
                with clear_errors(self._to.uri):
                    file = self._client.download_artifacts(run.info.run_id, _RESULT, scratch)
                content = json.loads(Path(file).read_text(encoding="utf-8"))
                folds[run.info.run_name] = content["folds"]
        return folds

    def running(self) -> list[str]:
        """Return the ids of the nested runs that have not ended."""
        return [run.info.run_id for run in self._nested("RUNNING")]

    def begin(self, name: str, params: Mapping[str, Any]) -> str:
        """Start a nested run; return its id."""
        with clear_errors(self._to.uri):
            tags = {_PARENT: self.id}
            run = self._client.create_run(self._experiment, run_name=name, tags=tags)
            log_values(self._client, run.info.run_id, params, {}, self._to.clock())
        run_id: str = run.info.run_id
        return run_id

    def end(self, run: str, result: Result, tags: Mapping[str, str], *, failed: bool) -> None:
        """End a nested run with its result."""
        with clear_errors(self._to.uri):
            log_values(self._client, run, {}, result.figures(), self._to.clock())
            for name, value in tags.items():
                self._client.set_tag(run, name, value)
            if not failed:
                self._client.log_dict(run, {"folds": [*map(dict, result.folds)]}, _RESULT)
            self._client.set_terminated(run, "FAILED" if failed else "FINISHED")

    def kill(self, *runs: str) -> None:
        """End runs of which nothing will come any more."""
        with clear_errors(self._to.uri):
            for run in runs:
                self._client.set_terminated(run, "KILLED")

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
        """Tell that nothing is missing."""
        with clear_errors(self._to.uri):
            self._client.set_terminated(self.id, "FINISHED")


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
    """Go on with the unfinished run of the same plan, or start one.

    Parameters
    ----------
    title : begins the run's name.
    plan : names what is to be done; the first run of the same plan is gone on with.
    reopen : whether that may be a run that is finished.

    Raises
    ------
    RefusedError
        If MLflow does not answer.
    """
    client = connect(to.uri)
    with clear_errors(to.uri):
        number = experiment_id(client, to.uri, experiment, to.workdir)
        if found := _first_of_plan(client, number, plan, reopen=reopen):
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
        log_values(client, run.info.run_id, params, {}, to.clock())
        first = _first_of_plan(client, number, plan, reopen=reopen) or run
        if first.info.run_id != run.info.run_id:  # another process started at the same time
            client.delete_run(run.info.run_id)
        return ParentRun(client, first, to, resumed=False)


def _first_of_plan(
    client: "MlflowClient", experiment: str, plan: str, *, reopen: bool
) -> "Run | None":
    runs = client.search_runs([experiment], f"tags.{_PLAN} = '{plan}'", max_results=_MOST)
    ours = [run for run in runs if reopen or run.info.status != "FINISHED"]
    return min(ours, key=lambda run: (run.info.start_time, run.info.run_id), default=None)
