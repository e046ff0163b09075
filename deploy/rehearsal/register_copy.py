"""Register and stage a copy of a model under another digest; print where the registry keeps it.

Usage: ``python -m rehearsal.register_copy MODEL_FOLDER PARAMS``.
"""

import datetime
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from carprice.model import PriceModel
from carprice.model_folder import folder_digest
from carprice.registry.promotion import champion_of, record_tests
from carprice.registry.tracking import connect, start_run
from carprice.registry.versions import Registry
from carprice.settings import load_settings


def main(original: Path, params: Path) -> None:
    """Do it in the registry that the environment names; a mark among its metrics tells it apart."""
    now = datetime.datetime.now(datetime.UTC)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    settings = load_settings(params).register_
    registry = Registry(uri, settings.name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        model = PriceModel.load(original)
        replace(model, metrics={**model.metrics, "mark": 1}).save(folder)
        tags = {
            "digest": folder_digest(folder),
            "gate": "accepted",
            "gate_thresholds": settings.gate.model_dump_json(),
            "gate_champion": champion_of(registry.at("production")),
        }
        with start_run(uri, "rehearsal", Path(scratch), params={}, tags={}):
            version = registry.log_version(folder, tags)
    registry.point("staging", version.number, now)
    record_tests(registry, version, (), now, settings)
    source = connect(uri).get_model_version(settings.name, str(version.number)).source
    sys.stdout.write(f"{source}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
