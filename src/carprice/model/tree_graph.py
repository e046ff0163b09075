"""Refuses an ONNX graph that is anything but trees: no loop, no other file, no endless tree.

What was not refused can be joined, so that several ensembles run as one graph.

A model may come from anywhere, and ONNX Runtime does what a graph says. So each message of the
graph may have only the fields that :meth:`carprice.model.booster.Booster.of` writes, and the one
node is XGBoost's trees, whose numbers must be those of trees: parents before their children.

ONNX's own library is not needed to serve, and importing protobuf costs as much as loading a model:
the fields are read and written here. Protobuf's encoding: https://protobuf.dev/programming-guides/encoding
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_DEEPEST: Final = 64
"""Levels of a tree; ONNX Runtime reads trees by recursion, which a deeper one could overflow."""
_VARINT, _BYTES = 0, 2
# Field numbers of ONNX's messages that may be there. What is not listed could run other code paths
# of ONNX Runtime: functions, training, sparse and external tensors, subgraphs.
_MODEL: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8})
_INTEGERS_OF_MODEL: Final = frozenset({1, 5})
_VERSION_OF_MODEL, _GRAPH_OF_MODEL, _OPERATORS_OF_MODEL = 1, 7, 8
_GRAPH: Final = frozenset({1, 2, 10, 11, 12})
_NODE_OF_GRAPH, _NAME_OF_GRAPH, _INPUT_OF_GRAPH, _OUTPUT_OF_GRAPH = 1, 2, 11, 12
_NODE: Final = frozenset({1, 2, 3, 4, 5, 6, 7})
_RESULT: Final = frozenset({1, 2})
_INPUT_OF_NODE, _OUTPUT_OF_NODE, _NAME_OF_NODE = 1, 2, 3
_OPERATOR, _ATTRIBUTE_OF_NODE, _DOMAIN = 4, 5, 7
_NAME, _INTEGER, _TEXT, _FLOATS, _INTEGERS, _TEXTS, _KIND = 1, 3, 4, 7, 8, 9, 20
_ATTRIBUTE: Final = frozenset({_NAME, _INTEGER, _TEXT, _FLOATS, _INTEGERS, _TEXTS, 13, _KIND})
_LONGEST_INTEGER: Final = 5  # bytes of 7 bits
_TEXT_TAG: Final = 0x4A
# Runs of one repeated field, by its tag: they hold nearly all bytes of a graph.
_RUNS: Final = {
    0x3D: (_FLOATS, re.compile(rb"(?s:\x3d.{4})++")),
    0x40: (_INTEGERS, re.compile(rb"(?:\x40[\x80-\xff]{0,4}[\x00-\x7f])++")),
    _TEXT_TAG: (_TEXTS, re.compile(rb"(?:\x4a(?:\x09BRANCH_LT|\x04LEAF))++")),
}
_OF_NODES: Final = (
    *("nodes_nodeids", "nodes_treeids", "nodes_featureids", "nodes_truenodeids"),
    *("nodes_falsenodeids", "nodes_missing_value_tracks_true"),
)
_OF_TARGETS: Final = ("target_ids", "target_nodeids", "target_treeids")
_KNOWN: Final = frozenset(
    {
        *(*_OF_NODES, *_OF_TARGETS, "nodes_modes", "nodes_values", "nodes_hitrates"),
        *("target_weights", "n_targets", "base_values", "post_transform", "aggregate_function"),
    }
)


class OddGraphError(ValueError):
    """A graph that is not what carprice writes; the message says where."""


class Run(bytes):
    """A run of one repeated field, with its tags."""


def check_trees(graph: bytes, columns: int) -> None:
    """Refuse a graph that is not one node of trees over so many columns.

    Raises
    ------
    OddGraphError
        If it holds anything else, or trees that do not end.
    """
    try:
        _check(graph, columns)
    except (IndexError, ValueError, OverflowError) as error:
        if isinstance(error, OddGraphError):
            raise
        raise OddGraphError("it breaks off, or is no ONNX graph") from None


def _check(graph: bytes, columns: int) -> None:
    parts = _parts(graph)
    for number in (_NODE_OF_GRAPH, _INPUT_OF_GRAPH, _OUTPUT_OF_GRAPH):
        if len(parts[number]) != 1:
            raise OddGraphError("it has more than one node, input or output, or none")
    node = _only(parts[_NODE_OF_GRAPH][0], _NODE, "the node")
    operator, domain = (b"".join(node[number]) for number in (_OPERATOR, _DOMAIN))
    if (operator, domain) != (b"TreeEnsembleRegressor", b"ai.onnx.ml"):
        told = f"{domain.decode()[:50]}.{operator.decode()[:50]}"
        raise OddGraphError(f"its node is {told!r} and not the trees of ai.onnx.ml")
    if node[_INPUT_OF_NODE] != [b"features"]:
        raise OddGraphError("its trees read anything but the input features")
    result = _only(parts[_OUTPUT_OF_GRAPH][0], _RESULT, "the output")[_NAME]
    if result != node[_OUTPUT_OF_NODE] or len(result) != 1 or result == [b"features"]:
        raise OddGraphError("its output is not what its trees give")
    numbers: dict[str, Integers] = {}
    leaves = np.array([], dtype=bool)
    for content in node[_ATTRIBUTE_OF_NODE]:
        name, own, modes = _attribute(content)
        if name not in _KNOWN or name in numbers:
            raise OddGraphError(f"its trees have the attribute {name[:50]!r}, or have it twice")
        numbers[name], leaves = own, np.append(leaves, modes)
    _check_trees(numbers, leaves, columns)


def joined(graphs: Sequence[bytes]) -> bytes:
    """Return one graph that gives what graphs of trees over the same columns give, in their order.

    Parameters
    ----------
    graphs : as carprice writes them, see :func:`check_trees`.
    """
    nodes, outputs, first = [], [], _parts(graphs[0])
    for place, parts in enumerate(map(_parts, graphs)):
        (node,), (output,) = parts[_NODE_OF_GRAPH], parts[_OUTPUT_OF_GRAPH]
        name = f"sum_{place}".encode()
        nodes.append(_field(_NODE_OF_GRAPH, _with(node, (_OUTPUT_OF_NODE, _NAME_OF_NODE), name)))
        outputs.append(_field(_OUTPUT_OF_GRAPH, _with(output, (_NAME,), name)))
    named = _field(_NAME_OF_GRAPH, b"trees") + _field(_INPUT_OF_GRAPH, first[_INPUT_OF_GRAPH][0])
    operators = _field(1, b"ai.onnx.ml") + _field(2, 1)
    return (
        _field(_VERSION_OF_MODEL, 8)
        + _field(_GRAPH_OF_MODEL, b"".join([named, *nodes, *outputs]))
        + _field(_OPERATORS_OF_MODEL, operators)
    )


def _parts(graph: bytes) -> dict[int, list[bytes]]:
    """Return the contents of a model's graph by field."""
    (inner,) = _only(graph, _MODEL, "the model")[_GRAPH_OF_MODEL]
    return _only(inner, _GRAPH, "the graph")


def _with(message: bytes, numbers: Collection[int], content: bytes) -> bytes:
    """Return a message in which some of its fields have another content."""
    return b"".join(
        _field(number, content if number in numbers else own) for number, own in _fields(message)
    )


def _field(number: int, content: int | bytes) -> bytes:
    """Return a field as it is encoded."""
    if isinstance(content, int):
        return _encoded(number << 3 | _VARINT) + _encoded(content)
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(number: int) -> bytes:
    """Return a number as bytes of 7 bits, the lowest first, all but the last with more to come."""
    lows = []
    while number >= 0x80:
        lows.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*lows, number])


def _only(message: bytes, allowed: frozenset[int], what: str) -> dict[int, list[bytes]]:
    """Return the contents of a message by field; refuse one with a field that is not allowed."""
    found: dict[int, list[bytes]] = {number: [] for number in allowed}
    for number, content in _fields(message):
        if number not in allowed:
            raise OddGraphError(f"{what} has field {number} of ONNX, which no trees have")
        if isinstance(content, int) != (allowed is _MODEL and number in _INTEGERS_OF_MODEL):
            raise OddGraphError(f"{what} has another kind of field {number} than ONNX has")
        if isinstance(content, bytes):
            found[number].append(content)
    if len(found.get(_GRAPH_OF_MODEL, ())) > 1 or len(found.get(_OPERATOR, ())) > 1:
        raise OddGraphError(f"{what} says something twice")
    return found


def _attribute(message: bytes) -> tuple[str, Integers, Flags]:
    """Return the name of an attribute, its integers, and which of its modes are leaves."""
    name, integers, leaves = "", [np.array([], dtype=np.int64)], [np.array([], dtype=bool)]
    for number, content in _fields(message):
        if number not in _ATTRIBUTE:
            raise OddGraphError(f"an attribute has field {number} of ONNX, which no trees have")
        if number == _NAME and isinstance(content, bytes):
            if name:
                raise OddGraphError("an attribute has two names")
            name = content.decode()
        elif number == _INTEGER and isinstance(content, int):
            integers.append(np.array([content], dtype=np.int64))
        elif isinstance(content, Run) and number == _INTEGERS:
            integers.append(_integers(content))
        elif isinstance(content, Run) and number == _TEXTS:
            leaves.append(_leaves(content))
        elif number in (_INTEGERS, _TEXTS, _FLOATS) and not isinstance(content, Run):
            raise OddGraphError(f"its attribute {name[:50]!r} is not written as carprice does")
    return name, np.concatenate(integers), np.concatenate(leaves)


def _integers(run: bytes) -> Integers:
    """Return the numbers of a run: of each its tag, bytes of 7 bits with more to come, the last."""
    signs = np.frombuffer(run, dtype=np.uint8)
    lows = np.flatnonzero(signs < 0x80)
    tags, lasts = lows[0::2], lows[1::2]
    values = np.zeros(len(tags), dtype=np.int64)
    for step in range(_LONGEST_INTEGER):
        own = np.flatnonzero(tags + 1 + step <= lasts)
        values[own] |= (signs[tags[own] + 1 + step] & 0x7F).astype(np.int64) << (7 * step)
    return values


def _leaves(run: bytes) -> Flags:
    """Return which of a run's modes are leaves, by their lengths."""
    signs = np.frombuffer(run, dtype=np.uint8)
    return np.asarray(signs[np.flatnonzero(signs == _TEXT_TAG) + 1] == len(b"LEAF"))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and content of each field; a run of one repeated field as it stands."""
    place = 0
    while place < len(message):
        if run := _RUNS.get(message[place]):
            number, pattern = run
            if found := pattern.match(message, place):
                yield number, Run(found[0])
                place = found.end()
                continue
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind != _BYTES:  # numbers of four bytes are in runs only
            raise OddGraphError(f"field {number} has an encoding that trees do not use")
        size, place = _varint(message, place)
        if place + size > len(message):
            raise OddGraphError("it breaks off")
        yield number, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise OddGraphError("a number is longer than any can be")


def _check_trees(numbers: Mapping[str, Integers], is_leaf: Flags, columns: int) -> None:
    """Refuse trees that do not end, or that read or write beyond what there is."""
    if missing := {"n_targets", *_OF_NODES, *_OF_TARGETS} - numbers.keys():
        raise OddGraphError(f"its trees lack {min(missing)}")
    if numbers["n_targets"].tolist() != [1]:
        raise OddGraphError("its trees have not one result")
    nodes, trees, features, on_true, on_false, _ = (numbers[name] for name in _OF_NODES)
    ids, targets, of_tree = (numbers[name] for name in _OF_TARGETS)
    sizes = {len(numbers[name]) for name in _OF_NODES} | {len(is_leaf)}
    if len(sizes) != 1 or not len(nodes) or len({len(ids), len(targets), len(of_tree)}) != 1:
        raise OddGraphError("the numbers of its trees are not as many as its nodes")
    start = np.flatnonzero(nodes == 0)
    tree = np.cumsum(nodes == 0) - 1
    if start[:1].tolist() != [0] or (trees != tree).any():
        raise OddGraphError("its trees are not in their order")
    root = start[tree]
    last = np.append(start[1:], len(nodes))[tree] - root
    if (nodes != np.arange(len(nodes)) - root).any():
        raise OddGraphError("the nodes of its trees are not in their order")
    branch = np.flatnonzero(~is_leaf)
    for children in (on_true[branch], on_false[branch]):
        if (children <= nodes[branch]).any() or (children >= last[branch]).any():
            raise OddGraphError("a child of its trees comes before its parent, or is not there")
    if (features < 0).any() or (features >= columns).any():
        raise OddGraphError(f"its trees read other columns than the {columns} that there are")
    if ids.any() or (of_tree < 0).any() or (of_tree >= len(start)).any():
        raise OddGraphError("its trees add to what is not there")
    place = start[of_tree] + targets
    if (targets < 0).any() or (targets >= last[start[of_tree]]).any() or not is_leaf[place].all():
        raise OddGraphError("its trees add what is at no leaf")
    level = start
    for _ in range(_DEEPEST):
        level = level[~is_leaf[level]]
        if not len(level):
            return
        children = np.concatenate([on_true[level], on_false[level]])
        level = np.unique(np.concatenate([root[level], root[level]]) + children)
    raise OddGraphError(f"its trees are deeper than {_DEEPEST} levels")
