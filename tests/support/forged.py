"""Model folders and graphs as somebody who means harm would make them."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "model.json"


def forged(good: Path, target: Path, contents: Mapping[str, bytes | None], **said: Any) -> Path:
    """Copy a model folder with other files, and sign it so that every digest is right.

    Parameters
    ----------
    contents : of the files that change; None takes a file away.
    said : what ``model.json`` says instead; a function is given what it said.
    """
    shutil.copytree(good, target)
    for name, content in contents.items():
        if content is None:
            (target / name).unlink()
        else:
            (target / name).write_bytes(content)
    manifest = json.loads((target / MANIFEST).read_text())
    del manifest["checksum"]
    manifest["files"] = {
        one.name: hashlib.sha256(one.read_bytes()).hexdigest()
        for one in sorted(target.iterdir())
        if one.is_file() and one.name != MANIFEST
    }
    for key, value in said.items():
        manifest[key] = value(manifest.get(key)) if callable(value) else value
    signed = hashlib.sha256(_json(manifest).encode()).hexdigest()
    (target / MANIFEST).write_text(_json({**manifest, "checksum": signed}))
    return target


def changed_json(folder: Path, name: str, change: Callable[[Any], object]) -> dict[str, bytes]:
    """Return a file of a model whose content a function changed."""
    content = json.loads((folder / name).read_text())
    change(content)
    return {name: json.dumps(content).encode()}


def endless_graph(columns: int) -> bytes:
    """Return an ONNX graph that takes features, gives one number, and turns 2^62 times."""
    from onnx import TensorProto, helper

    number = [1, 1]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, number),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, number),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["features"], ["start"], keepdims=1),
            helper.make_node("Loop", ["turns", "yes", "start"], ["variable"], body=body),
        ],
        "endless",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("variable", TensorProto.FLOAT, number)],
        [
            helper.make_tensor("turns", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("one", TensorProto.FLOAT, number, [1.0]),
        ],
    )
    opset = [helper.make_opsetid("", 15)]
    written: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return written


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
