import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carprice.components.workspace import Workspace


@pytest.fixture
def begun(finished: Any, tmp_path: Path) -> Callable[..., Workspace]:
    """Make a workspace with some outputs of a finished run: ``begun("train_features", …)``."""

    def with_outputs(*names: str) -> Workspace:
        workspace = Workspace(tmp_path)
        for name in names:
            source, target = (getattr(one, name) for one in (finished[0], workspace))
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        return workspace

    return with_outputs
