"""The page of a data set: what it holds and what it looks like."""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from hybridgen.media.base import Sheet
from hybridgen.report.html import page, section
from hybridgen.system.files import write_atomic


def write_data_page(
    path: Path, title: str, facts: Mapping[str, str], counts: Iterable[tuple[str, list[int]]], splits: Iterable[str],
    damage: list[str], sheet: Sheet,
) -> None:  # fmt: skip
    """Writes the page, whole or not at all.

    Args:
        path: of the page.
        title: heading.
        facts: what is known, by name.
        counts: samples of each class, or of all, in each split.
        splits: titles of the counts' columns.
        damage: a message for each file that cannot be used.
        sheet: samples.
    """
    about = "".join(f"<tr><th scope=row>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in splits)
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th>{''.join(f'<td>{count:,}</td>' for count in each)}</tr>"
        for name, each in counts
    )
    parts = [
        f"<header><h1>{escape(title)}</h1></header>",
        section("Samples of the training split", f"<div class=wide>{sheet.html}</div>"),
        section("Facts", f"<table>{about}</table>"),
        section(
            "Samples in each split", f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
        ),
    ]
    if damage:
        parts.append(section("Files that cannot be used", f"<ul>{''.join(f'<li>{escape(d)}' for d in damage)}</ul>"))
    write_atomic(path, page(title, parts))
