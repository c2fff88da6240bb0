"""The results of an ablation over its trials: the table, samples of each variant, the page."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hybridgen.comparison.entries import readable_figures
from hybridgen.comparison.scores import specs_of
from hybridgen.evaluation.protocol import Figure
from hybridgen.media.embed import sheet_in
from hybridgen.runs.run import TRIALS, Run
from hybridgen.runs.stored import read_json
from hybridgen.sweeps.queue.study import REASON
from hybridgen.sweeps.request.block import Ablation, Experiment
from hybridgen.sweeps.request.match import Budget, Matched, match
from hybridgen.sweeps.request.score_names import figure_specs
from hybridgen.sweeps.results.page import folded, page_header, rows_table, section, shown_file, trial_rows, write_page
from hybridgen.sweeps.results.table import COSTS, Table, as_csv, latex, make_table, markdown
from hybridgen.sweeps.session import Session
from hybridgen.system.errors import UserError
from hybridgen.system.files import lock, write_atomic


def match_all(
    experiment: Experiment, ablation: Ablation, kind: Budget, say: Callable[[str], None]
) -> dict[str, Matched]:
    """Every other variant brought to the base's budget; `say` is told of each size that is tried.

    Found once and kept under runs/matched/: seconds are never measured twice alike, and the overrides name the study.

    Raises:
        UserError: a variant cannot be brought there.
    """
    composed = experiment.compose()
    told = [composed.config, {n: [*t] for n, t in ablation.variants.items()}, [*ablation.options.resize], kind]
    name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    file = Path(composed.config["runs"]) / "matched" / f"{name}.json"
    with lock(file.with_suffix(".lock")):
        if not file.exists():
            base = ablation.variants[ablation.options.base]
            found = {
                variant: match(experiment, base, texts, ablation.options.resize, kind, _named(variant, say))
                for variant, texts in ablation.variants.items()
                if variant != ablation.options.base
            }
            kept = {variant: {"overrides": [*m.overrides], "ratio": m.ratio} for variant, m in found.items()}
            write_atomic(file, json.dumps(kept, indent=1) + "\n")
        stored = read_json(file)
    try:
        return {variant: Matched(tuple(m["overrides"]), float(m["ratio"])) for variant, m in stored.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: damaged ({error!r}); delete it, and the variants are matched anew") from None


def _named(variant: str, say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: say(f"{variant}: {line}")


def tabulate(session: Session, ablation: Ablation, seeds: int, matched: Mapping[str, Matched]) -> Table:
    """The table of what is complete."""
    first = session.composed.config["seed"]
    found: dict[str, dict[int, dict[str, Figure]]] = {variant: {} for variant in ablation.variants}
    notes: dict[str, list[str]] = {}
    for name, resized in matched.items():
        if resized.overrides:
            said = f"{' '.join(resized.overrides)}, {resized.ratio:.1%} of the base's budget"
            notes.setdefault(name, []).append(said)
    for trial in session.study().counted():
        variant, seed = trial.params.get("variant"), trial.params.get("seed")
        run = Run(session.folder / TRIALS / f"{trial.number:04d}")
        if variant not in found or seed is None or seed >= first + seeds:
            continue
        if trial.state.name == "COMPLETE" and run.summary.exists():
            found[variant][seed] = readable_figures(run)
        elif trial.state.name == "FAIL":
            notes.setdefault(variant, []).append(f"seed {seed} failed: {trial.user_attrs.get(REASON, 'worker lost')}")
    columns = ablation.options.figures
    specs = figure_specs(session.composed, (*columns, *COSTS))
    specs |= specs_of(figures for by_seed in found.values() for figures in by_seed.values())
    values = {
        variant: {seed: {name: shown.value for name, shown in figures.items()} for seed, figures in by_seed.items()}
        for variant, by_seed in found.items()
    }
    table = make_table(values, columns, ablation.options.base, specs)
    table.notes = {name: "; ".join(texts) for name, texts in notes.items()}
    return table


def write_ablation(session: Session, ablation: Ablation, table: Table) -> Path:
    """Writes table.md, table.tex, table.csv and report.html, and says that the study's run has ended."""
    run, rows = Run(session.folder), trial_rows(session.study(), session.folder)
    for name, text in (("md", markdown(table)), ("tex", latex(table)), ("csv", as_csv(table))):
        write_atomic(run.path / f"table.{name}", text + "\n")
    write_atomic(run.path / "trials.json", json.dumps(rows, indent=1) + "\n")
    what = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(' '.join(texts) or 'as the experiment says')}</dd>"
        for name, texts in ablation.variants.items()
    )
    parts = [
        page_header(f"Ablation of {session.composed.name}", session.plan.name, "", run.info["command"]),
        section("Table", _html(table)),
        section("Variants", f"<dl>{what}</dl>"),
        section("Samples side by side, from the same seeds", _samples(session.folder, rows)),
        section("Runs", _runs(rows)),
    ]
    write_page(run.report, f"ablation {session.plan.name}", parts)
    if not any(row["state"] == "running" for row in rows):
        run.finish()
    return run.report


def _runs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every run with the command that repeats it; the reasons have a column where something failed."""
    failures = any(row["reason"] for row in rows)
    cells = []
    for row in rows:
        params = [escape(str(row["params"].get(name, ""))) for name in ("variant", "seed")]
        why = [escape(row["reason"] or "")] if failures else []
        cells.append([str(row["trial"]), *params, escape(row["state"]), *why, folded("replay", row["replay"])])
    why = ["reason"] if failures else []
    return rows_table(["trial", "variant", "seed", "state", *why, "command"], cells)


def _html(table: Table) -> str:
    """The Markdown table as HTML: the same text, so that they cannot differ."""
    lines = markdown(table).splitlines()
    grid = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    cells = [[_bold(escape(cell)) for cell in row] for row in grid[2:]]
    legend = "".join(f"<p>{escape(line)}</p>" for line in lines[len(grid) :] if line)
    return rows_table([escape(text) for text in grid[0]], cells, len(grid[0]) - 1) + legend


def _bold(cell: str) -> str:
    before, star, rest = cell.partition("**")
    inside, _, after = rest.partition("**")
    return f"{before}<b>{inside}</b>{after}" if star else cell


def _samples(folder: Path, rows: list[dict[str, object]]) -> str:
    """What each variant drew with its first seed."""
    shown: dict[str, str] = {}
    for row in rows:
        params = row["params"]
        variant = str(params.get("variant")) if isinstance(params, dict) else ""
        file = sheet_in(folder / TRIALS / f"{row['trial']:04d}", "samples")
        if variant not in shown and file is not None:
            shown[variant] = f"<figure><figcaption>{escape(variant)}</figcaption>{shown_file(variant, file)}</figure>"
    return f'<div class="sheets">{"".join(shown.values())}</div>' if shown else ""
