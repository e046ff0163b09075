from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "prices-in-python.ipynb"
# What the cells do does not depend on how much they learn from.
FEWER = {"load_sample(3000,": "load_sample(900,", '"n_estimators": 100': '"n_estimators": 20'}


def test_the_notebook_is_small_and_holds_its_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) == 2
    assert NOTEBOOK.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for many, few in FEWER.items():
        changed = [cell for cell in notebook.cells if many in cell.source]
        assert changed
        for cell in changed:
            cell.source = cell.source.replace(many, few)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert notebook.cells[-1].outputs[-1].data["text/plain"] == "np.True_"
