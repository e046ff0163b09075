"""Experiments in MLflow: a parent run with the table and pictures, a nested run a candidate."""

import datetime
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from carprice.errors import RefusedError
from carprice.experiments.processes import is_alive, this_process
from carprice.registry.tracking import clear_errors, connect, experiment_id, log_values

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARENT: Final = "mlflow.parentRunId"
_NOTE: Final = "mlflow.note.content"
_TABLES: Final = "mlflow.loggedArtifacts"
_PROCESS: Final = "process"
_PLAN: Final = "plan"
_RESULT: Final = "result.json"
_MOST: Final = 1000

Clock = Callable[[], datetime.datetime]
Figures = Mapping[str, float | Sequence[float]]


class ParentRun:
    """The run of one experiment, whose nested runs are its candidates or trials."""

    def __init__(
        self, client: "MlflowClient", uri: str, run: "Run", now: Clock, *, resumed: bool
    ) -> None:
        self.id: str = run.info.run_id
        self.resumed = resumed
        self._client, self._uri, self._now = client, uri, now
        self._experiment: str = run.info.experiment_id

    def finished(self) -> dict[str, dict[str, Any]]:
        """Return what nested runs that finished came to, by name."""
        query = f"tags.`{_PARENT}` = '{self.id}' and attributes.status = 'FINISHED'"
        with clear_errors(self._uri):
            runs = self._client.search_runs([self._experiment], query, max_results=_MOST)
            return {run.info.run_name: self._result(run.info.run_id) for run in runs}

    def _result(self, run: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
            path = self._client.download_artifacts(run, _RESULT, scratch)
            content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            return content

    def begin(self, name: str, params: Mapping[str, Any]) -> str:
        """Start a nested run; return its id."""
        with clear_errors(self._uri):
            tags = {_PARENT: self.id, _PROCESS: this_process()}
            run = self._client.create_run(self._experiment, run_name=name, tags=tags)
            log_values(self._client, run.info.run_id, params, {}, self._now())
        run_id: str = run.info.run_id
        return run_id

    def end(
        self,
        run: str,
        figures: Figures,
        *,
        result: Mapping[str, Any] | None = None,
        failed: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """End a nested run with its figures; ``failed`` is the reason why it came to nothing."""
        with clear_errors(self._uri):
            log_values(self._client, run, {}, figures, self._now())
            for name, value in {**(tags or {}), **({"reason": failed} if failed else {})}.items():
                self._client.set_tag(run, name, value)
            if result is not None:
                self._client.log_text(run, json.dumps(result, indent=2), _RESULT)
            self._client.set_terminated(run, "FAILED" if failed else "FINISHED")

    def kill_the_dead(self, *, shared: bool) -> None:
        """End the nested runs whose process is gone; of one that is not shared, all that run."""
        query = f"tags.`{_PARENT}` = '{self.id}' and attributes.status = 'RUNNING'"
        with clear_errors(self._uri):
            runs = self._client.search_runs([self._experiment], query, max_results=_MOST)
        for run in runs:
            if not shared or is_alive(run.data.tags.get(_PROCESS, "")) is False:
                self.kill(run.info.run_id)

    def kill(self, run: str) -> None:
        """End a run of which nothing will come any more."""
        with clear_errors(self._uri):
            self._client.set_terminated(run, "KILLED")

    def log(
        self, figures: Figures, tables: Mapping[str, pd.DataFrame], files: Sequence[Path], note: str
    ) -> None:
        """Log the outcome: figures, tables that MLflow's pages show, files, and a description.

        What an earlier call logged is replaced; ``MlflowClient.log_table`` would add to its tables.
        """
        with clear_errors(self._uri):
            log_values(self._client, self.id, {}, figures, self._now())
            for name, table in tables.items():
                content = table.to_json(orient="split", index=False, date_format="iso")
                self._client.log_text(self.id, content, f"{name}.json")
            self._client.set_tag(self.id, _TABLES, _tables_tag(tables))
            for path in files:
                self._client.log_artifact(self.id, str(path))
            self._client.set_tag(self.id, _NOTE, note)

    def finish(self) -> None:
        """Tell that nothing is missing."""
        with clear_errors(self._uri):
            self._client.set_terminated(self.id, "FINISHED")


def _tables_tag(names: Iterable[str]) -> str:
    """Return the tag by which MLflow's pages know which artifacts are tables."""
    return json.dumps([{"path": f"{name}.json", "type": "table"} for name in names])


def open_parent(
    uri: str,
    experiment: str,
    workdir: Path,
    *,
    name: str,
    plan: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    now: Clock,
    shared: bool = False,
) -> ParentRun:
    """Go on with the unfinished run of the same plan, or start one.

    Parameters
    ----------
    plan : names what is to be done; a run with the same plan that is not finished is gone on with.
    shared : whether several processes may work on it at once, and a finished one be gone on with.

    Raises
    ------
    RefusedError
        If another process works on it, or MLflow does not answer.
    """
    client = connect(uri)
    with clear_errors(uri):
        number = experiment_id(client, uri, experiment, workdir)
        found = _newest(client, number, plan, shared=shared)
        if found is not None and not shared:
            _refuse_two(found)
        if found is not None:
            client.update_run(found.info.run_id, status="RUNNING")
            client.set_tag(found.info.run_id, _PROCESS, this_process())
            parent = ParentRun(client, uri, found, now, resumed=True)
            parent.kill_the_dead(shared=shared)
            return parent
        run = client.create_run(
            number,
            run_name=name,
            tags={**_source(experiment), **tags, _PLAN: plan, _PROCESS: this_process()},
        )
        log_values(client, run.info.run_id, params, {}, now())
        if shared:
            run = _agree(client, number, plan, run)
        return ParentRun(client, uri, run, now, resumed=False)


def _source(experiment: str) -> dict[str, str]:
    """Return the tags that MLflow's pages show as source."""
    return {
        "mlflow.source.name": f"carprice experiments: {experiment}",
        "mlflow.source.type": "LOCAL",
    }


def _newest(client: "MlflowClient", experiment: str, plan: str, *, shared: bool) -> "Run | None":
    runs = _of_plan(client, experiment, plan)
    open_ones = [run for run in runs if shared or run.info.status != "FINISHED"]
    return open_ones[0] if open_ones else None


def _of_plan(client: "MlflowClient", experiment: str, plan: str) -> list["Run"]:
    query = f"tags.{_PLAN} = '{plan}'"
    order = ["attributes.start_time DESC"]
    return list(client.search_runs([experiment], query, max_results=_MOST, order_by=order))


def _agree(client: "MlflowClient", experiment: str, plan: str, own: "Run") -> "Run":
    """Keep the first of the runs that processes made at the same time."""
    runs = _of_plan(client, experiment, plan)
    first = min(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    if first.info.run_id != own.info.run_id:
        client.delete_run(own.info.run_id)
    return first


def _refuse_two(run: "Run") -> None:
    process = run.data.tags.get(_PROCESS, "")
    if run.info.status == "RUNNING" and process != this_process() and is_alive(process):
        number = process.rpartition("/")[0].rpartition("/")[2]
        raise RefusedError(
            f"process {number} works on the same experiment; wait for it, or end it and run this "
            "command again, which then goes on from there"
        )
