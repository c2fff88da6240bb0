"""A study's report.html: one file without network or script, with all trials, the plots and what the best drew."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hybridgen.comparison.entries import readable_figures
from hybridgen.comparison.scores import specs_of
from hybridgen.evaluation.figure_spec import full_title
from hybridgen.evaluation.protocol import Figure, sentence
from hybridgen.media.embed import file_element, sheet_in
from hybridgen.report.html import PAGE
from hybridgen.runs.run import TRIALS, Run, readable
from hybridgen.sweeps.queue.study import REASON, Study
from hybridgen.sweeps.queue.view import Standing
from hybridgen.sweeps.request.score_names import figure_specs
from hybridgen.sweeps.results.parallel import ARROWS
from hybridgen.sweeps.results.plots import WIDE, Plot, draw_plots
from hybridgen.sweeps.session import Session
from hybridgen.system.files import write_atomic
from hybridgen.system.text import number

SHOWN = 6  # trials whose samples are shown


def write_study(session: Session, found: Standing) -> Path:
    """Writes plots, trials.json and report.html to the study's folder, and says that the study's run has ended."""
    study, run = session.study(), Run(session.folder)
    rows = trial_rows(study, session.folder)
    write_atomic(run.path / "trials.json", json.dumps(rows, indent=1) + "\n")
    titles = _titles(session, rows, [*study.plan.directions])
    plots = draw_plots(study, run.path, titles)
    objectives = ", ".join(titles[name] + ARROWS[way] for name, way in study.plan.directions.items())
    how = f"{study.plan.options.sampler}, {objectives}" if session.figures == (*study.plan.directions,) else ""
    parts = [
        page_header(f"Sweep of {session.composed.name}", study.plan.name, how, run.info["command"]),
        section("How it stands", _standing(found)),
        section("Plots", _plots(plots)),
        _best_samples(session.folder, found, titles),
        section("Trials", _trials(rows, titles, found)),
        section("How it was measured", _protocols(session.folder, rows, titles)),
    ]
    write_page(run.report, f"sweep {study.plan.name}", parts)
    if not found.running:
        run.finish()
    return run.report


def trial_rows(study: Study, folder: Path) -> list[dict[str, Any]]:
    """Every task's trial as plain values."""
    rows = []
    for trial in study.counted():
        values = dict(zip(study.plan.directions, trial.values or [], strict=False))
        run = folder / TRIALS / f"{trial.number:04d}"
        known = readable([run]) if (run / "run.json").exists() else []
        tags = known[0].info.get("tags", {}) if known else {}
        rows.append(
            {
                "trial": trial.number, "state": trial.state.name.lower(), "params": dict(trial.params),
                "values": values, "reason": trial.user_attrs.get(REASON), "replay": tags.get("replay"),
            }
        )  # fmt: skip
    return rows


def _titles(session: Session, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, str]:
    """The objectives' titles: as stored with the figures of a trial, else as the experiment's metrics declare them."""
    _, figures = _first_figures(session.folder, rows)
    specs = figure_specs(session.composed, names) | specs_of([figures])
    return {name: full_title(name, specs) for name in names}


def _first_figures(folder: Path, rows: Sequence[Mapping[str, Any]]) -> tuple[int, Mapping[str, Figure]]:
    """The first trial that has figures, and these; (0, nothing) where none has."""
    for row in rows:
        figures = readable_figures(Run(folder / TRIALS / f"{row['trial']:04d}"))
        if figures:
            return row["trial"], figures
    return 0, {}


def write_page(file: Path, title: str, parts: Sequence[str]) -> None:
    """A whole page in the style of a run's report."""
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{view}<title>{escape(title)}</title><style>{PAGE.read_text()}</style>"
    body = f"<body><main>{''.join(parts)}</main></body>"
    write_atomic(file, f'<!doctype html><html lang="en"><head>{head}</head>{body}</html>')


def page_header(title: str, name: str, how: str, command: str) -> str:
    """The top of a page."""
    facts = " · ".join(text for text in (name, how) if text)
    return (
        f'<header><h1>{escape(title)}</h1><p class="facts">{escape(facts)}</p>'
        f"<pre class=command>{escape(command)}</pre></header>"
    )


def section(title: str, content: str) -> str:
    """A section, or nothing."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def shown_file(title: str, file: Path) -> str:
    """A sheet of samples, inside the page."""
    return f"<div class=wide>{file_element(file, title, 'sheet')}</div>"


def rows_table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A table; the first `numbers` columns after the first one are right-aligned. Cells are HTML."""
    kinds = ["", *[" class=number"] * numbers] + [""] * len(head)
    top = "".join(f"<th{kind}>{text}</th>" for text, kind in zip(head, kinds, strict=False))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(row, kinds, strict=False))}</tr>" for row in rows
    )
    return f"<div class=wide><table class=figures><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _standing(found: Standing) -> str:
    """Counts, what runs, and why what failed did."""
    counts = {"complete": found.complete, "pruned": found.pruned, "failed": found.failed, "waiting": found.waiting}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines = [f"running: {text}" for text in found.running]
    lines += [f"failed, {count} of them: {reason}" for reason, count in found.reasons.items()]
    if found.lost:
        lines.append(f"{found.lost} begun again, whose worker was gone")
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<p>{found.done} of {found.total} trials done: {told}.</p>" + (f"<ul>{listed}</ul>" if listed else "")


def _plots(plots: Mapping[Plot, str]) -> str:
    """The drawings, the wide ones over the whole page."""
    shown = ""
    for plot, svg in plots.items():
        kind = " class=whole" if plot.size == WIDE else ""
        shown += f"<figure{kind}><figcaption>{escape(plot.title)}</figcaption>{svg}</figure>"
    return f"<div class=curves>{shown}</div>" if shown else ""


def _trials(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], found: Standing) -> str:
    """Every trial; the best are in bold, and the reasons have a column where something failed."""
    params = [*dict.fromkeys(name for row in rows for name in row["params"])]
    best = {row["trial"] for row in found.best}
    failures = any(row["reason"] for row in rows)
    cells = []
    for row in rows:
        values = [number(row["values"][name]) if name in row["values"] else "" for name in titles]
        shown = [escape(_short(row["params"].get(name, ""))) for name in params]
        name = f"<b>{row['trial']}</b>" if row["trial"] in best else str(row["trial"])
        why = [escape(row["reason"] or "")] if failures else []
        cells.append([name, *values, *shown, escape(row["state"]), *why, folded("replay", row["replay"])])
    why = ["reason"] if failures else []
    head = ["trial", *map(escape, titles.values()), *map(_breakable, params), "state", *why, "command"]
    front = "on the front" if len(best) > 1 else "the best"
    said = f"<p>Bold: {front}. A command repeats its trial: on a CPU to the last bit, seconds apart.</p>"
    return (said if best else "") + rows_table(head, cells, len(titles) + len(params))


def _best_samples(folder: Path, found: Standing, titles: Mapping[str, str]) -> str:
    parts = []
    for row in found.best[:SHOWN]:
        file = sheet_in(folder / TRIALS / f"{row['trial']:04d}", "samples")
        if file is not None:
            said = ", ".join(f"{titles[name]} {number(value)}" for name, value in row["values"].items())
            title = f"Trial {row['trial']}: {said}"
            at = " ".join(f"{name}={_short(value)}" for name, value in row["params"].items())
            parts.append(f"<h3>{escape(title)} <small>{escape(at)}</small></h3>{shown_file(title, file)}")
    return section("Samples of the best, from the same seeds", "".join(parts))


def _protocols(folder: Path, rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """The objectives' protocols, as those of the first trial that has figures say."""
    trial, figures = _first_figures(folder, rows)
    return "".join(
        f"<p><b>{escape(title)}</b> of trial {trial}: {escape(sentence(figures[name].protocol))}</p>"
        for name, title in titles.items()
        if name in figures
    )


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _breakable(key: str) -> str:
    """A dotted key that may be broken at its dots."""
    return escape(key).replace(".", ".<wbr>")


def folded(title: str, text: str | None) -> str:
    """A text behind its title; nothing where there is none."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>" if text else ""
