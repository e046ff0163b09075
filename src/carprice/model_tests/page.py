"""Markdown as one self-contained page: no script, nothing from elsewhere, all texts escaped."""

import html
from typing import Final

from markdown_it import MarkdownIt

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0;
  --paper: #ffffff; --band: #f5f5f8; --bad: #c62a2f; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #3a3d42;
  --paper: #111113; --band: #1b1c1f; --bad: #ff8589; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto;
  font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem .25rem 0;
  text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
tr:hover td { background: var(--band); }
strong { color: var(--bad); }
code { overflow-wrap: anywhere; font-size: .9em; }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, markdown: str) -> str:
    """Return a page that shows a Markdown text; HTML and images in it are shown as text.

    Examples
    --------
    >>> "<b>" in page("a", "<b>")
    False
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{reader.render(markdown)}</body>\n</html>\n"
    )
