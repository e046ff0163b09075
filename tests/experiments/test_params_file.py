import contextlib
import re
import shutil
from pathlib import Path

import pytest

from carprice.errors import InputError, RefusedError
from carprice.experiments.params_file import check_writable, write_values
from carprice.settings import load_settings

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]
VALUES = {
    "train.booster.subsample": 0.456,
    "train.booster.direct.max_depth": 5,
    "train.booster.direct.learning_rate": 0.0345,
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's params file."""
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def written(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def assert_has_the_values(path: Path) -> None:
    train = load_settings(path).train
    direct = train.booster.direct
    assert train.booster.subsample == 0.456
    assert (direct.max_depth, direct.learning_rate) == (5, 0.0345)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_comes_back_byte_for_byte_but_for_the_values(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path))
    assert write_values(copy, VALUES) == [*VALUES]
    assert_has_the_values(copy)
    before = path.read_text(encoding="utf-8")
    sections = (
        "train:\n  booster:\n    direct:\n      learning_rate: 0.0345\n      max_depth: 5\n"
        "    subsample: 0.456\n"
    )
    booster = sections.removeprefix("train:\n")
    replaced = re.sub("  booster: auto.*\n", booster, before)
    expected = replaced if path.name == "params.yaml" else before + sections
    assert copy.read_text(encoding="utf-8") == expected


def test_values_that_are_there_already_and_a_look_before_leave_the_file_alone(copy: Path) -> None:
    stamp = copy.stat().st_mtime_ns
    check_writable(copy, VALUES)
    assert write_values(copy, {"train.patience": 50}) == []
    assert copy.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    "text",
    [
        "train: {booster: {max_depth: 4}}\n",
        "train: {}\n",
        "train:\n  seed: 3 # mine\n",
        "train:\n    booster:\n        max_depth: 4 # deep\n",
        "---\ntrain:\r\n  seed: 3\r\n",
        "{train: {booster: {reg_lambda: 2.0}}}",
        "tracking:\n  experiment: mine",
        "# mine\n",
        "",
    ],
)
def test_a_section_or_key_that_is_missing_is_added(text: str, tmp_path: Path) -> None:
    copy = written(tmp_path, text)
    before = load_settings(copy)
    assert sorted(write_values(copy, VALUES)) == sorted(VALUES)
    assert_has_the_values(copy)
    after = load_settings(copy)
    assert (after.train.seed, after.tracking) == (before.train.seed, before.tracking)
    text_after = copy.read_bytes().decode()
    assert all(comment in text_after for comment in ("# mine", "# deep") if comment in text)
    assert write_values(copy, VALUES) == []


def test_a_file_that_cannot_be_read_stays_as_it_is(tmp_path: Path) -> None:
    copy = written(tmp_path, "train: [1, 2\n")
    with pytest.raises(InputError, match="is not valid YAML"):
        write_values(copy, VALUES)
    assert copy.read_text(encoding="utf-8") == "train: [1, 2\n"


def test_a_link_stays_one_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    file, link = written(tmp_path / "there", "train: {seed: 3}\n"), tmp_path / "params.yaml"
    file.chmod(0o640)
    link.symlink_to(file)
    write_values(link, VALUES)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert load_settings(file).train.booster.direct.max_depth == 5


@pytest.mark.parametrize("text", ["train:\r\n  seed: 3\r\n", "# mine\r\ntracking: {}\r\n# end"])
def test_line_ends_are_kept(text: str, tmp_path: Path) -> None:
    copy = written(tmp_path, text)
    write_values(copy, VALUES)
    after = copy.read_bytes()
    assert after.count(b"\n") == after.count(b"\r\n") > 4


def test_a_file_with_anchors_is_refused_and_stays(tmp_path: Path) -> None:
    text = "---\ntrain:\n  booster: {reg_lambda: &same 2.0, min_child_weight: *same}\n"
    copy = written(tmp_path, text)
    for act in (check_writable, write_values):
        with pytest.raises(RefusedError, match=r"params\.yaml: line 3 uses a YAML anchor .*'same'"):
            act(copy, VALUES)
    assert copy.read_text(encoding="utf-8") == text


def test_a_value_that_is_no_number_yet_is_replaced(tmp_path: Path) -> None:
    copy = written(tmp_path, 'train: {booster: {reg_lambda: "2.0"}}\n')
    write_values(copy, {"train.booster.reg_lambda": 2.5})
    assert copy.read_text(encoding="utf-8") == "train: {booster: {reg_lambda: 2.5}}\n"


def test_a_file_that_cannot_be_written_is_named(full_disk: Path) -> None:
    copy = written(full_disk, "train: {}\n")
    with contextlib.suppress(OSError):
        (full_disk / "rest").write_bytes(bytes(2**17))
    for act in (check_writable, write_values):
        with pytest.raises(RefusedError) as refused:
            act(copy, VALUES)
        told = f"{copy} cannot be written: no space left on device; free some space, or choose"
        assert str(refused.value).startswith(told)
    assert copy.read_text(encoding="utf-8") == "train: {}\n"
