"""What a worker is sent for a chunk of the ridge's rows, what it sends back, and what it takes.

Chunks of the sample's rows, those of a model together, as training makes them of many rows. The
more rows there are of a model, the fewer models are in a chunk, and the smaller are its sums.
"""

import argparse
import pickle
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.listings.features import Features
from carprice.listings.frames import read_features
from carprice.model.car import CarReader
from carprice.model.defaults import Defaults
from carprice.model.hedonic_fit import _by_fold, _Design
from carprice.model.ridge_chunk import PricedChunk, sums_of
from carprice.settings import IngestSettings, SampleSettings

FOLDS: Final = 5


def features_of(rows: int) -> Features:
    """Return the features of so many rows of the sample, completed."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        settings = IngestSettings(source="sample", sample=SampleSettings(rows=rows, seed=7))
        ingest(settings, workspace, quiet)
        transform(workspace)
        features, _ = read_features(workspace.train_features)
    return CarReader(Defaults.fit(features)).complete(features)


def peak_megabytes() -> float:
    """Return the peak memory of this process; Linux alone tells it apart from its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) / 1e3


def measured(sent: bytes) -> tuple[float, int, float]:
    """Return the seconds, the bytes and the peak memory of a chunk's sums."""
    start = time.process_time()
    returned = pickle.dumps(sums_of(pickle.loads(sent)), 5)  # noqa: S301 (of this program)
    return time.process_time() - start, len(returned), peak_megabytes()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=120_000, help="of the sample")
    parser.add_argument(
        "--chunks", type=int, nargs="+", default=[1_000, 5_000, 10_000, 50_000], help="their rows"
    )
    options = parser.parse_args()
    features = features_of(options.rows)
    design, every = _Design(features, 1.0), len(features)
    folds = np.random.default_rng(0).integers(0, FOLDS, every)
    by_model = np.argsort(design.codes["model"], kind="stable")
    sys.stdout.write(f"{every:,} rows, {design.width:,} columns, {FOLDS} folds\n")
    for size in options.chunks:
        rows, parts = _by_fold(by_model[every // 5 :][:size], folds, FOLDS)
        ones = np.ones(len(rows))
        sent = pickle.dumps(PricedChunk(design._chunk(rows, parts), ones, ones), 5)
        models = len(np.unique(design.codes["model"][rows]))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            seconds, returned, peak = apart.submit(measured, sent).result()
        sys.stdout.write(
            f"{len(rows):,} rows of {models} models: {len(sent) / len(rows):.0f} bytes a row sent, "
            f"{1e6 * seconds / len(rows):.0f} CPU µs a row, {returned / 1e6:.1f} MB returned, "
            f"peak {peak:.0f} MB\n"
        )


if __name__ == "__main__":
    main()
