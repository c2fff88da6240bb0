"""report.html: one file, without network or script, for a screen, a phone or a printer, light and dark."""

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from hybridgen.evaluation.figure_spec import FigureSpec, full_title, is_detail
from hybridgen.media.base import Sheet
from hybridgen.report.loss_curves import BY_SCALE, curve_svg, panels
from hybridgen.report.progression import Progression
from hybridgen.runs.run import Run
from hybridgen.system.files import write_atomic
from hybridgen.system.text import duration, number

PAGE = Path(__file__).with_name("page.css")
STAGES = ("tokenizer", "generator")  # the order of the sections; other stages follow


def write_report(
    run: Run,
    figures: Mapping[str, Mapping[str, Any]] | None = None,
    sheets: Mapping[str, Sheet] | None = None,
    progressions: Sequence[Progression] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write the run's page and return its path.

    Args:
        run: gives experiment, config delta, versions and curves.
        figures: by name {"value", "interval": [low, high] or absent, "protocol": {...}, "spec": {...} or absent}, as
            summary.json has them.
        sheets: samples to show, by heading; they travel inside the page.
        progressions: how the canvas comes about.
        notes: which figures were left out, and why.
    """
    parts = [_header(run)]
    parts += [_sheet(title, sheet) for title, sheet in (sheets or {}).items()]
    parts += [_progression(progression) for progression in progressions]
    parts += [_figures(figures, notes)] if figures else []
    parts += _curves(run.metrics())
    parts += [_delta(run.delta), _origin(run.info)]
    write_atomic(run.report, page(f"{run.experiment} {run.name}", parts))
    return run.report


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of these HTML parts."""
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{view}<title>{escape(title)}</title><style>{PAGE.read_text()}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main></body></html>'


def _header(run: Run) -> str:
    info, status = run.info, run.status
    status = "finished" if status == "running" and run.model.exists() else status  # the report is a run's last act
    spent = (info["ended"] or time.time()) - info["started"]
    facts = [run.name, time.strftime("%d %B %Y, %H:%M", time.localtime(info["started"])), duration(spent), info["host"]]
    return (
        f'<header><h1>{escape(run.experiment)}</h1><p class="facts"><span class="status {status}">{status}</span> '
        f"{escape(' · '.join(facts))}</p><pre class=command>{escape(info['command'])}</pre></header>"
    )


def _sheet(title: str, sheet: Sheet) -> str:
    return section(title, f"<div class=wide>{sheet.html}</div>")


def _progression(shown: Progression) -> str:
    head = "".join(f"<th scope=col>{escape(title)}</th>" for title in shown.columns)
    rows = []
    for index, row in enumerate(shown.cells):
        title = shown.rows[index] if shown.rows else ""
        cells = "".join(f"<td>{cell}</td>" for cell in row)
        rows.append(f"<tr>{f'<th scope=row>{escape(title)}</th>' if shown.rows else ''}{cells}</tr>")
    corner = "<td></td>" if shown.rows else ""
    table = f"<table class=strip><thead><tr>{corner}{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return section(shown.title, f"<p>{escape(shown.caption)}</p><div class=wide>{table}</div>")


def _figures(figures: Mapping[str, Mapping[str, Any]], notes: Sequence[str]) -> str:
    """The figures of the whole; those of single classes, scales and parts are folded away below."""
    whole = {name: figure for name, figure in figures.items() if not is_detail(name)}
    details = {name: figure for name, figure in figures.items() if is_detail(name)}
    known = {name: FigureSpec.from_json(figure.get("spec")) for name, figure in figures.items()}
    specs = {name: spec for name, spec in known.items() if spec is not None}
    titles = {name: full_title(name, specs) for name in figures}
    more = f"<details class=more><summary>by class, scale and part</summary>{_table(details, titles)}</details>"
    said = "".join(f"<p class=facts>{escape(note)}</p>" for note in notes)
    return section("Figures", said + _table(whole, titles) + (more if details else ""))


def _table(figures: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    rows = "".join(_figure(titles[name], figure) for name, figure in figures.items())
    head = "<tr><th>figure</th><th class=number>value</th><th>95 % interval</th><th>how it was measured</th></tr>"
    return f'<div class=wide><table class="figures measured"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _figure(title: str, figure: Mapping[str, Any]) -> str:
    interval, protocol = figure.get("interval"), figure.get("protocol") or {}
    between = f"{number(interval[0])} to {number(interval[1])}" if interval else ""
    how = f"<details><summary>protocol</summary>{_protocol(protocol)}</details>" if protocol else "no protocol was kept"
    return (
        f"<tr><th scope=row>{escape(title)}</th><td class=number>{number(figure['value'])}</td>"
        f"<td class=interval>{between}</td><td>{how}</td></tr>"
    )


def _protocol(protocol: Mapping[str, Any]) -> str:
    """The sentence that a paper can quote, if there is one, and every field."""
    sentence = f"<p>{escape(str(protocol['sentence']))}</p>" if protocol.get("sentence") else ""
    fields = {key: value for key, value in protocol.items() if key != "sentence" and value is not None}
    items = "".join(f"<dt>{escape(k.replace('_', ' '))}</dt><dd>{escape(_plain(v))}</dd>" for k, v in fields.items())
    return f"{sentence}<dl>{items}</dl>"


def _curves(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    found = panels(lines)
    order = [stage for stage in STAGES if stage in found] + [stage for stage in found if stage not in STAGES]
    drawn = {stage: _panels(found[stage]) for stage in order}
    return [section(f"Curves: {stage}", panels) for stage, panels in drawn.items() if panels]


def _panels(curves: Mapping[str, Mapping[str, Any]]) -> str:
    drawn = "".join(
        f"<figure><figcaption>{escape(name.replace('_', ' '))}</figcaption>"
        f"{curve_svg(lines, name.endswith(BY_SCALE))}</figure>"
        for name, lines in curves.items()
        if any(len(curve) > 1 for curve in lines.values())  # a single value is a figure, not a curve
    )
    return f"<div class=curves>{drawn}</div>" if drawn else ""


def _delta(delta: Mapping[str, Any]) -> str:
    text = (
        yaml.safe_dump(dict(delta), sort_keys=False, allow_unicode=True)
        if delta
        else "nothing: the experiment as it ships"
    )
    return section(
        "What was changed", f"<pre>{escape(text)}</pre><p class=facts>The whole config is in config.yaml.</p>"
    )


def _origin(info: Mapping[str, Any]) -> str:
    facts = {"commit": info["commit"] or "not in a git checkout", **info["versions"]}
    items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items())
    note = "The samples on this page were generated by a model."
    return f"<footer><details><summary>Commit and versions</summary><dl>{items}</dl></details><p>{note}</p></footer>"


def section(title: str, content: str) -> str:
    """Content under a heading."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(v)}" for key, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
