"""What is compared: single runs, or groups of runs that differ in their seed and are averaged."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridgen.comparison.differences import lookup, worded
from hybridgen.config.identity import apart_from_seed, canonical
from hybridgen.config.migrate import figure_name
from hybridgen.evaluation.protocol import Figure
from hybridgen.runs.run import Run
from hybridgen.runs.stored import damaged, read_json
from hybridgen.system.errors import UserError, unknown, warn

SEED = "seed"


@dataclass(frozen=True)
class Entry:
    """A column of the comparison: one run, or several that are averaged.

    Args:
        name: how it is called.
        runs: at least one.
        configs: their resolved configs, in today's words.
        figures: their figures by name; empty for a run that has none yet.
    """

    name: str
    runs: tuple[Run, ...]
    configs: tuple[Mapping[str, Any], ...]
    figures: tuple[Mapping[str, Figure], ...]

    @property
    def status(self) -> str:
        """How its runs stand: "finished", or what keeps one of them from it."""
        return ", ".join(sorted({run.status for run in self.runs}))


def entries_of(runs: Sequence[Run], group_by: str | None = None) -> list[Entry]:
    """One entry per run; with `group_by` one entry for all runs that belong together, in the order of their first.

    `group_by="seed"` puts together what differs in nothing but the seed; any other dotted key puts together what has
    the same value there.

    Raises:
        UserError: no run has that key, or a file of a run cannot be read.
    """
    found = {run.path.resolve(): run for run in runs}  # a run that is named twice counts once
    single = [Entry(label(run), (run,), (canonical(run.config),), (read_figures(run),)) for run in found.values()]
    if group_by is None:
        return single
    _check_key(group_by, single)
    groups: dict[str, list[Entry]] = {}
    for entry in single:
        groups.setdefault(_belongs_to(entry.configs[0], group_by), []).append(entry)
    return [_joined(members, group_by) for members in groups.values()]


def label(run: Run) -> str:
    """`experiment/run`, as other commands take it."""
    return f"{run.experiment}/{run.name}"


def read_figures(run: Run) -> dict[str, Figure]:
    """The figures of a run; none when it has not come so far."""
    if not run.summary.exists():
        return {}
    stored = read_json(run.summary)
    for name, each in stored.items():
        if not isinstance(each, dict):
            raise damaged(run.summary, f"not a summary of figures ('{name}' is {json.dumps(each)[:40]})")
    try:
        return {figure_name(name): Figure.from_json(each) for name, each in stored.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(run.summary, f"not a summary of figures ({error!r})") from error


def readable_figures(run: Run) -> dict[str, Figure]:
    """The same; a damaged summary counts as none, with a warning, so that it does not disturb the other runs."""
    try:
        return read_figures(run)
    except UserError as error:
        warn(f"{str(error).splitlines()[0]}; its figures are left out")
        return {}


def _belongs_to(config: Mapping[str, Any], key: str) -> str:
    shared = apart_from_seed(config) if key == SEED else lookup(config, key)
    return json.dumps(shared, sort_keys=True, default=str)


def _joined(members: list[Entry], key: str) -> Entry:
    first = members[0]
    name = first.name + (f" and {len(members) - 1} more" if len(members) > 1 else "")
    if key != SEED:
        value = lookup(first.configs[0], key)
        name = f"{key}={value['card'] if isinstance(value, Mapping) and 'card' in value else worded(value)}"
    return Entry(
        name,
        tuple(run for entry in members for run in entry.runs),
        tuple(config for entry in members for config in entry.configs),
        tuple(figures for entry in members for figures in entry.figures),
    )


def _check_key(key: str, entries: Sequence[Entry]) -> None:
    absent = object()
    configs = [config for entry in entries for config in entry.configs]
    if all(lookup(config, key, absent) is absent for config in configs):
        raise UserError(unknown("key", key, {name for config in configs for name in keys(config)}, "--group-by"))


def keys(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """All dotted keys of a config, groups included."""
    names = []
    for name, value in config.items():
        names.append(prefix + name)
        if isinstance(value, Mapping):
            names += keys(value, f"{prefix}{name}.")
    return names
