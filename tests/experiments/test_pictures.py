from pathlib import Path

import pytest

from carprice.experiments.candidates import COMPARED
from carprice.experiments.pictures import draw_error_and_time, draw_ranking
from carprice.experiments.ranking import FIGURES, TIMES, Result, rank


@pytest.mark.parametrize("metric", ["mape", "mae"])
@pytest.mark.parametrize(("count", "apart"), [(1, 0), (2, 3), (4, 0), (len(COMPARED), 3)])
def test_any_candidates_can_be_drawn_also_those_that_price_alike(
    count: int, apart: int, metric: str, tmp_path: Path
) -> None:
    results = []
    for place, candidate in enumerate(COMPARED[:count]):
        levels = (12 + apart * place + fold / 10 for fold in range(3))
        folds = tuple(dict.fromkeys((*FIGURES, *TIMES), level) for level in levels)
        results.append(Result(candidate, folds))
    for draw in (draw_error_and_time, draw_ranking):
        path = tmp_path / f"{draw.__name__}.png"
        draw(rank(results, metric), metric, "INR", path)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000
