"""Write a proposal as a params file; what a person should look at stands in comments."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from carprice.listings.mapping.layout import Opened
from carprice.listings.mapping.proposal import Proposal
from carprice.listings.mapping.trial import ORDER, ingest_keys
from carprice.listings.remedies import flow
from carprice.redaction import redact
from carprice.schema import PRICE, REQUIRED, alias

MARK: Final = "# ?"
_PHRASES: Final = re.compile(r"phrases: (\[.*?\])")
_LONGEST: Final = 200
_HEAD: Final = (
    "# Proposed by `carprice map` of {rows:,} rows; docs/your-own-data.md explains the keys.\n"
    "# Look at each line with a question mark, then: carprice run --params THIS_FILE\n"
)


def to_yaml(proposal: Proposal, opened: Opened, source: str) -> str:
    """Return the text of a params file."""
    keys = ingest_keys(proposal, opened, source)
    doubts: dict[str, Sequence[str]] = {**proposal.doubts}
    doubts |= {key: [reason] for key, reason in opened.doubts.items()}
    units = ("currency", "distance")
    doubts["units"] = [f"{key}: {doubt}" for key in units for doubt in doubts.get(key, ())]
    if redact(source) != source:
        doubts["source"] = ["a login stands in it: write ${NAME} for it, an environment variable"]
    columns = keys.pop("columns")
    lines = ["ingest:"]
    lines += [_line(2, key, value, doubts.get(key, ())) for key, value in keys.items()]
    lines.append("  columns:")
    anchors: dict[str, str] = {}
    for name in ORDER:
        key = alias(name)
        if key in columns:
            lines.append(_with_anchors(_line(4, key, columns[key], doubts.get(name, ())), anchors))
        elif name in (PRICE, *REQUIRED):
            lines.append(f"    # {key}:{_comment(doubts.get(name, ()))}")
    lines += [f"# {_plain(hint)}" for hint in proposal.hints]
    if proposal.ignored:
        lines.append(f"# not read: {_plain(', '.join(proposal.ignored), 1000)}")
    rows = sum(len(chunk.frame) for chunk in opened.chunks)
    return _HEAD.format(rows=rows) + "\n".join(lines) + "\n"


def _line(indent: int, key: str, value: Any, doubts: Sequence[str]) -> str:
    return " " * indent + _flow({key: value})[1:-1] + _comment(doubts)


def _with_anchors(line: str, anchors: dict[str, str]) -> str:
    """Name a list of phrases where it stands first; where it stands again, the name will do."""
    found = _PHRASES.search(line)
    if found is None:
        return line
    text = found[1]
    if text in anchors:
        return line.replace(text, f"*{anchors[text]}")
    anchors[text] = f"names{len(anchors) or ''}"
    return line.replace(text, f"&{anchors[text]} {text}")


def _comment(doubts: Sequence[str]) -> str:
    texts = [_plain(doubt) for doubt in dict.fromkeys(doubts)]
    return f"  {MARK} {'; '.join(texts)}" if texts else ""


def _plain(text: str, longest: int = _LONGEST) -> str:
    """Return a text that is sure to stay on its line."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    return line if len(line) <= longest else f"{line[:longest]}…"


def _flow(content: Mapping[str, Any]) -> str:
    if content.get("decimal"):
        return f"{{decimal: '{content['decimal']}'}}"
    return flow(content)
