import dataclasses
import datetime
from contextlib import contextmanager

import pytest

from carprice.components.pipeline import run
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)


def test_all_stages_leave_their_files(finished):
    workspace = finished[0]
    names = vars(workspace)
    for name in set(names) - {"root", "model_cache", "model_tests"}:
        path = getattr(workspace, name)
        assert path.is_dir() or path.stat().st_size > 0, name
    assert not [path for path in workspace.root.rglob(".*") if path.name != ".carprice"]


def test_the_outcome_is_what_the_files_say(finished):
    workspace, outcome = finished
    assert read_json(workspace.report, "ingest") == outcome.report
    assert read_json(workspace.metrics, "evaluate") == outcome.figures
    registration = dataclasses.asdict(outcome.registration)
    assert read_json(workspace.registration, "register") == registration | {
        "reasons": list(registration["reasons"]),
        "checks": list(registration["checks"]),
    }


def test_the_first_model_is_new_and_accepted(finished):
    registration = finished[1].registration
    assert (registration.version, registration.is_new, registration.accepted) == (1, True, True)


def test_a_run_stops_at_the_first_stage_that_fails(tmp_path):
    settings = Settings.model_validate({"ingest": {"source": str(tmp_path / "nowhere.csv")}})
    begun = []

    @contextmanager
    def step(name):
        begun.append(name)
        yield lambda _: None

    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        run(settings, Workspace(tmp_path / "work"), NOW, step)
    assert begun == ["ingest"]
    assert not (tmp_path / "work").exists()
