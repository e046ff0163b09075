"""Model folders that somebody made to do harm: every digest in them is right."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from forged import changed_json, endless_graph, forged
from onnx import TensorProto, helper

from carprice import model_folder
from carprice.errors import CorruptModelError
from carprice.model import PriceModel
from carprice.model.booster import Booster
from carprice.model.tree_graph import OddGraphError, check_trees
from carprice.model.trial import Trial, try_model
from carprice.model_folder import folder_digest, is_intact


@pytest.fixture(scope="module")
def columns(good: Path) -> int:
    return len(PriceModel.load(good).encoder.columns)


@pytest.mark.parametrize(
    ("files", "said", "words"),
    [
        ({}, {"files": {}}, "is no file of the model"),
        ({"scale.onnx": None}, {}, "lacks scale.onnx"),
        ({"more.json": b"{}"}, {}, "names, as no model does, more.json"),
        ({}, {"files": lambda files: {**files, "../../etc/hostname": "0" * 64}}, "is no name"),
        ({}, {"files": lambda files: {**files, "/etc/hostname": "0" * 64}}, "is no name"),
        ({}, {"files": lambda files: {**files, "a\\b": "0" * 64}}, "is no name"),
        ({}, {"files": lambda files: {**files, "..": "0" * 64}}, "is no name"),
        ({}, {"files": lambda files: {**files, "a\nb": "0" * 64}}, "is no name"),
        ({}, {"files": lambda files: {**files, "model.json": "0" * 64}}, "is no name"),
        ({}, {"files": lambda files: {**files, "a.json": 5}}, "is no name"),
        ({}, {"files": lambda files: files | {f"{n}.json": "0" * 64 for n in range(2000)}}, "2,0"),
        ({}, {"files": ["hedonic.json"]}, "is not readable"),
    ],
)  # fmt: skip
def test_a_folder_holds_the_files_of_a_model_and_no_others(
    files: dict[str, bytes | None], said: dict[str, Any], words: str, good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", files, **said)
    with pytest.raises(CorruptModelError) as told:
        PriceModel.load(folder)
    assert words in str(told.value)
    assert str(told.value).endswith("fetch or train the model again")
    assert "\n" not in str(told.value)


def test_only_model_json_is_no_model(good: Path, tmp_path: Path) -> None:
    folder = forged(good, tmp_path / "forged", {}, files={})
    for path in folder.iterdir():
        if path.name != "model.json":
            path.unlink()
    with pytest.raises(CorruptModelError, match=r"model\.json lacks booster\.onnx"):
        PriceModel.load(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other links and pipes")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "added"])
def test_what_is_no_plain_file_is_refused_at_once(kind: str, good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "model")
    trees = folder / "booster.onnx"
    if kind == "added":
        (folder / "carprice.py").write_text("raise SystemExit")
    else:
        trees.rename(tmp_path / "elsewhere")
        make = {
            "link": lambda: trees.symlink_to(tmp_path / "elsewhere"),
            "pipe": lambda: os.mkfifo(trees),
            "folder": trees.mkdir,
        }
        make[kind]()
    words = "is no file of the model" if kind == "added" else "booster.onnx is no plain file"
    with pytest.raises(CorruptModelError, match=words):
        PriceModel.load(folder)
    assert not is_intact(folder, folder_digest(good))


def test_no_file_is_read_beyond_the_largest(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (good / "hedonic.json").stat().st_size
    for limit, most in (("LARGEST_FILE", size - 1), ("LARGEST_FOLDER", size + 10)):
        with monkeypatch.context() as patch:
            patch.setattr(model_folder, limit, most)
            with pytest.raises(CorruptModelError, match="is too large"):
                PriceModel.load(good)
    (shutil.copytree(good, tmp_path / "a") / "model.json").write_bytes(b" " * 5_000_000)
    with pytest.raises(CorruptModelError, match=r"model\.json is too large"):
        PriceModel.load(tmp_path / "a")


def test_what_was_checked_is_what_is_loaded(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files change between the check and the use."""
    folder, read = shutil.copytree(good, tmp_path / "model"), model_folder.read_files

    def read_and_change(path: Path) -> model_folder.ModelFiles:
        found = read(path)
        for one in path.iterdir():
            one.write_bytes(b"changed")
        return found

    monkeypatch.setattr("carprice.model.price_model.read_files", read_and_change)
    assert PriceModel.load(folder).digest == folder_digest(good)


def deep(_: Any) -> Any:
    value: list[Any] = []
    for _ in range(400):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("hedonic.json", lambda it: it.update(by_age=[]), "hedonic.json has another by_age"),
        ("hedonic.json", lambda it: it.update(by_age="x" * 9), "hedonic.json has another by_age"),
        ("hedonic.json", lambda it: it.update(intercept=10**400), "another intercept"),
        ("hedonic.json", lambda it: it.update(intercept=float("nan")), "another intercept"),
        ("hedonic.json", lambda it: it.update(by_distance=it["by_distance"][1:]), "by_distance"),
        ("hedonic.json", lambda it: it.update(coefficients={"make": {"a": None}}), "coefficients"),
        ("hedonic.json", lambda it: it.update(coefficients={}), "KeyError"),
        ("hedonic.json", lambda it: it.update(usual={"body": {}}), "another usual"),
        ("hedonic.json", lambda it: it.update(more=1), "TypeError"),
        ("hedonic.json", lambda it: it.clear(), "lacks intercept"),
        ("encoder.json", lambda it: it.update(rows={"model": {"a": -1}}), "another rows"),
        ("encoder.json", lambda it: it["levels"].clear(), "another levels"),
        ("encoder.json", lambda it: it.update(numbers=[1]), "another numbers"),
        ("ranges.json", lambda it: it.update(low=it["low"][:1]), "another low"),
        ("ranges.json", lambda it: it.update(high=[[0.1]] * 4), "another high"),
        ("ranges.json", lambda it: it.update(middle=[[0.1]] * 4), "another middle"),
        ("ranges.json", lambda it: it.update(middle=[["a"] * 49] * 4), "another middle"),
        ("defaults.json", lambda it: it.update(kinds={}), "another kinds"),
        ("defaults.json", lambda it: it.update(overall=["a"]), "another overall"),
        ("defaults.json", lambda it: it.update(overall=[1.0]), "is no model that carprice wrote"),
        ("defaults.json", lambda it: it.update(car={"numbers": 5}), "another car"),
        ("segments.json", lambda it: it.update(errors={"": {"": [5]}}), "another errors"),
        ("segments.json", lambda it: it["errors"][""].update({"": [5, -1.0]}), "another errors"),
        ("segments.json", lambda it: it["errors"].update(kia=[5, 1.0]), "another errors"),
        ("reference.json", lambda it: it.update(rows=0), "another rows"),
        ("reference.json", lambda it: it.update(first="yesterday"), "another first"),
        ("reference.json", lambda it: it.update(last=[1]), "another last"),
        ("reference.json", lambda it: it["shares"].pop("make"), "another shares"),
        ("reference.json", lambda it: it["shares"]["make"].update(kia=-1), "another shares"),
        ("reference.json", lambda it: it["edges"].update(age=[2.0, 1.0]), "another edges"),
        ("reference.json", lambda it: it.update(missing={}), "another missing"),
        ("reference.json", lambda it: it.update(once={"make": 1.5}), "another once"),
        ("reference.json", lambda it: it["residuals"].pop(""), "another residuals"),
        ("reference.json", lambda it: it["residuals"][""].clear(), "another residuals"),
        ("reference.json", lambda it: it["residuals"][""][""].pop(), "another residuals"),
        ("reference.json", lambda it: it.update(more=1), "TypeError"),
        ("support.json", lambda it: it.update(seen={}), "another seen"),
        ("support.json", lambda it: it["seen"][""].update(price=[2.0, 1.0]), "another seen"),
        ("support.json", lambda it: it["seen"][""].update(price=[0.0, 1.0]), "no model that carp"),
    ],
)
def test_parts_of_another_form_are_named_in_one_line(
    name: str, change: Callable[[Any], object], words: str, good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", changed_json(good, name, change))
    with pytest.raises(CorruptModelError, match="is no model that carprice wrote") as told:
        PriceModel.load(folder)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "content", [b"1234567", b"\xff" * 8 + b"\0" * 8, b"\1" * 16], ids=["part", "order", "twice"]
)
def test_cars_that_were_learned_from_are_sorted_hashes(
    content: bytes, good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", {"learned.bin": content})
    with pytest.raises(CorruptModelError, match=r"no model that carprice wrote \(learned\.bin"):
        PriceModel.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"cuts": [1, 5, 95]},
        {"cuts": [1, 5, 5, 99]},
        {"cuts": [0, 5, 95, 99]},
        {"cuts": [1, 5, 95, 100]},
        {"cuts": ["1", 5, 95, 99]},
        {"widest": 1},
        {"oldest": float("nan")},
        {"dearest": None},
        {"more": 1},
    ],
)
def test_limits_of_labels_have_their_form(
    change: dict[str, Any], good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", {}, deal=lambda deal: {**deal, **change})
    with pytest.raises(CorruptModelError, match=r"model\.json has another deal"):
        PriceModel.load(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"a": 1'])
def test_a_part_that_is_no_json_object_is_refused(
    content: bytes, good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", {"ranges.json": content})
    with pytest.raises(CorruptModelError, match="is no model that carprice wrote"):
        PriceModel.load(folder)


@pytest.mark.parametrize(
    "said",
    [
        {"market": None},
        {"market": lambda market: {**market, "valuation_date": "soon"}},
        {"market": lambda market: {**market, "distance_unit": "parsec"}},
        {"market": lambda market: {**market, "currency": 5}},
        {"trained_on": {"age": [1]}},
        {"trained_on": {"age": [None, 1]}},
        {"metrics": {"mape": "a"}},
        {"importance": []},
        {"usual_ranges": 5},
        {"metrics": deep},
    ],
)
def test_a_description_of_another_form_is_refused(
    said: dict[str, Any], good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", {}, **said)
    with pytest.raises(CorruptModelError, match="is no model that carprice wrote"):
        PriceModel.load(folder)


def outside(graph: onnx.ModelProto) -> None:
    """Keep a number in another file."""
    tensor = graph.graph.initializer.add(name="more", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/hostname")


def outside_and_sparse(graph: onnx.ModelProto) -> None:
    sparse = graph.graph.sparse_initializer.add(dims=[4])
    sparse.values.name = "more"
    sparse.values.data_location = TensorProto.EXTERNAL
    sparse.values.external_data.add(key="location", value="/etc/hostname")


def numbers_of(graph: onnx.ModelProto, name: str) -> Any:
    (found,) = (one for one in graph.graph.node[0].attribute if one.name == name)
    return found.ints


def as_tensor(graph: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    graph.graph.node[0].attribute.add(name="base_values_as_tensor", type=4).t.CopyFrom(tensor)


def set_number(name: str, place: int, value: int) -> Callable[[onnx.ModelProto], None]:
    def change(graph: onnx.ModelProto) -> None:
        numbers_of(graph, name)[place] = value

    return change


def many_results(graph: onnx.ModelProto) -> None:
    (found,) = (one for one in graph.graph.node[0].attribute if one.name == "n_targets")
    found.i = 2**40


def twice(graph: onnx.ModelProto) -> None:
    graph.graph.node.append(graph.graph.node[0])


@pytest.mark.parametrize(
    "change",
    [
        outside,
        outside_and_sparse,
        as_tensor,
        many_results,
        twice,
        lambda graph: setattr(graph.graph.node[0], "op_type", "Loop"),
        lambda graph: setattr(graph.graph.node[0], "domain", "com.microsoft"),
        lambda graph: graph.functions.add(name="Loop"),
        lambda graph: graph.metadata_props.add(key="ort_config", value="{}"),
        lambda graph: graph.training_info.add(),
        lambda graph: graph.graph.node[0].attribute.add(name="body", type=5),
        lambda graph: graph.graph.input.append(graph.graph.input[0]),
        lambda graph: graph.graph.node.pop(),
        lambda graph: graph.graph.node[0].input.append("more"),
        lambda graph: setattr(graph.graph.output[0], "name", "features"),
        lambda graph: setattr(graph.graph.output[0], "doc_string", "more"),
        lambda graph: graph.graph.node[0].output.append("more"),
        lambda graph: graph.graph.node[0].MergeFromString(b"\x15abcd"),  # its output as a number
        lambda graph: graph.graph.node[0].MergeFromString(b"\x10\x05"),
        lambda graph: graph.graph.output[0].MergeFromString(b"\x15abcd"),
        lambda graph: graph.graph.MergeFromString(b"\x60\x05"),
        set_number("nodes_truenodeids", 0, 0),  # its own child
        set_number("nodes_falsenodeids", 1, 0),  # its parent's parent
        set_number("nodes_truenodeids", 0, 100_000),
        set_number("nodes_featureids", 0, 100_000),
        set_number("nodes_featureids", 0, -1),
        set_number("nodes_nodeids", 1, 0),
        set_number("nodes_treeids", 0, 3),
        set_number("target_nodeids", 0, 0),  # no leaf
        set_number("target_treeids", 0, 9_999),
        set_number("target_ids", 0, 7),
        lambda graph: numbers_of(graph, "nodes_truenodeids").pop(),
        lambda graph: numbers_of(graph, "target_ids").pop(),
    ],
)
def test_a_graph_is_trees_that_end_and_nothing_else(
    change: Callable[[onnx.ModelProto], object], good: Path, columns: int
) -> None:
    graph = onnx.load_model_from_string((good / "scale.onnx").read_bytes())
    check_trees(graph.SerializeToString(), columns)
    change(graph)
    with pytest.raises(OddGraphError):
        check_trees(graph.SerializeToString(), columns)


def test_a_graph_of_other_columns_or_of_half_its_bytes_is_refused(good: Path, columns: int) -> None:
    graph = (good / "scale.onnx").read_bytes()
    with pytest.raises(OddGraphError, match="read other columns"):
        check_trees(graph, 1)
    for size in (0, 1, 100, len(graph) // 2, len(graph) - 1):
        with pytest.raises(OddGraphError):
            check_trees(graph[:size], columns)
    with pytest.raises(OddGraphError):
        check_trees(b"\xff" * 100, columns)


def chain(levels: int) -> bytes:
    """Return the graph of one tree, each branch of which has a leaf and the next branch."""
    size = 2 * levels + 1
    nodes = range(size)
    is_leaf = [node % 2 == 1 or node == size - 1 for node in nodes]
    leaves = [node for node in nodes if is_leaf[node]]
    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["variable"], domain="ai.onnx.ml",
        n_targets=1, post_transform="NONE",
        nodes_treeids=[0] * size, nodes_nodeids=[*nodes], nodes_featureids=[0] * size,
        nodes_modes=["LEAF" if leaf else "BRANCH_LT" for leaf in is_leaf],
        nodes_values=[0.5] * size, nodes_missing_value_tracks_true=[0] * size,
        nodes_truenodeids=[0 if is_leaf[one] else one + 1 for one in nodes],
        nodes_falsenodeids=[0 if is_leaf[one] else one + 2 for one in nodes],
        target_treeids=[0] * len(leaves), target_nodeids=leaves, target_ids=[0] * len(leaves),
        target_weights=[1.0] * len(leaves),
    )  # fmt: skip
    told = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "chain",
        [told("features", TensorProto.FLOAT, [None, 1])],
        [told("variable", TensorProto.FLOAT, [None, 1])],
    )
    opset = [helper.make_opsetid("ai.onnx.ml", 1)]
    written: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return written


def test_a_tree_may_be_deep_but_not_endless() -> None:
    import numpy as np

    sum_of_one_leaf = Booster.read(chain(60), 1).predict(np.zeros((3, 1), np.float32))
    assert sum_of_one_leaf.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(OddGraphError, match="deeper than 64 levels"):
        check_trees(chain(100_000), 1)


def test_a_loop_is_refused_in_the_folder_it_comes_in(
    good: Path, columns: int, tmp_path: Path
) -> None:
    endless = endless_graph(columns)
    onnx.checker.check_model(onnx.load_model_from_string(endless))
    folder = forged(good, tmp_path / "forged", {"booster.onnx": endless})
    with pytest.raises(CorruptModelError, match="is no model that carprice wrote"):
        PriceModel.load(folder)


def test_a_model_is_tried_in_a_process_that_has_no_secrets_and_ends_in_time(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "<s3cret>")
    digest = folder_digest(good)
    trial = Trial(good, digest)
    environment = Path(f"/proc/{trial._process.pid}/environ")
    if environment.exists():
        assert b"s3cret" not in environment.read_bytes()
    trial.run(60)
    with pytest.raises(CorruptModelError, match="is not the model that was fetched"):
        try_model(good, "0" * 64, 60)
    broken = forged(good, tmp_path / "broken", {"ranges.json": b"{}"})
    with pytest.raises(CorruptModelError, match=r"ranges\.json lacks low"):
        try_model(broken, folder_digest(broken), 60)
    hanging = Trial(good, digest)
    with pytest.raises(CorruptModelError, match="did not load and price a car within 0 s"):
        hanging.run(0)
    assert hanging._process.poll() is not None
    ended = Trial(good, digest)
    ended.end()
    with pytest.raises(CorruptModelError, match=r"ended the process .* \(exit code -9\)"):
        ended.run(60)


def test_a_folder_that_is_no_json_at_all_is_refused(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "model")
    for content in (b"[" * 200_000, json.dumps({"format_version": 1}).encode(), b"null"):
        (folder / "model.json").write_bytes(content)
        with pytest.raises(CorruptModelError, match="is not readable as a model's description"):
            PriceModel.load(folder)
