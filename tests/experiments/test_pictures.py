from pathlib import Path

import pytest

from carprice.experiments.candidates import BASELINES, COMPARED, ComparedModel
from carprice.experiments.pictures import draw_error_and_time, draw_ranking
from carprice.experiments.ranking import FIGURES, Result, rank


def result(candidate: ComparedModel, level: float) -> Result:
    folds = tuple(
        {
            **dict.fromkeys(FIGURES, level + fold / 10),
            "fit_seconds": level / 9,
            "predict_seconds": 1,
        }
        for fold in range(3)
    )
    return Result(candidate, folds)


@pytest.mark.parametrize("metric", ["mape", "mae"])
@pytest.mark.parametrize("count", [1, 2, len(COMPARED)])
def test_any_number_of_candidates_can_be_drawn(count: int, metric: str, tmp_path: Path) -> None:
    results = [result(one, 12.0 + 3 * place) for place, one in enumerate(COMPARED[:count])]
    ranked = rank(results, metric)
    for draw in (draw_error_and_time, draw_ranking):
        path = tmp_path / f"{draw.__name__}.png"
        draw(ranked, metric, "INR", path)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000


def test_candidates_that_price_alike_can_be_drawn(tmp_path: Path) -> None:
    ranked = rank([result(one, 12.0) for one in BASELINES], "mape")
    draw_ranking(ranked, "mape", "INR", tmp_path / "alike.png")
    draw_error_and_time(ranked, "mape", "INR", tmp_path / "alike-too.png")
