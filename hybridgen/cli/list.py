"""`hybridgen list`: what there is to build with. Reads YAML and signatures, imports no part."""

import argparse
import json
from pathlib import Path
from typing import Any

from hybridgen.cli import VERBS
from hybridgen.config.experiments import experiment_names, experiment_summary
from hybridgen.config.registry import Card, Registry
from hybridgen.config.yaml_text import Place
from hybridgen.system.errors import UserError, unknown

SUMMARY = VERBS["list"]
HERE = Place("hybridgen list")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that narrow the list."""
    parser.add_argument("slot", nargs="?", help="a slot, to see its cards with their options; or 'experiments'")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints every slot with its cards, or one slot's cards with their options."""
    registry = Registry(args.registry)
    kinds = [*registry.slots(), "experiments"]
    if args.slot and args.slot not in kinds:
        raise UserError(unknown("slot", args.slot, kinds))
    listed: dict[str, Any] = {
        slot: _cards(registry, slot, bool(args.slot)) for slot in kinds if args.slot in (None, slot)
    }
    if "experiments" in listed:
        listed["experiments"] = {name: {"summary": experiment_summary(name)} for name in experiment_names()}
    print(json.dumps(listed, indent=2, ensure_ascii=False) if args.json else _table(listed))
    return 0


def _cards(registry: Registry, slot: str, with_options: bool) -> dict[str, Any]:
    cards: dict[str, dict[str, Any]] = {}
    for name in registry.names(slot):
        card = registry.card(slot, name, HERE)
        cards[name] = {"summary": card.summary, "paper": list(card.paper), "target": card.target}
        if with_options:
            cards[name]["options"] = _options(registry, card)
    return cards


def _options(registry: Registry, card: Card) -> dict[str, Any]:
    from hybridgen.config.signature import Built, Required, read
    from hybridgen.config.values import as_list, described

    described_options = {}
    for option in read(card.target).options.values():
        default = card.options.values.get(option.name, option.default)
        entry = {"type": f"a {option.slot}" if option.slot else described(option.type), "doc": option.doc}
        if isinstance(default, Built):
            entry["default"] = registry.card_of(option.slot, default.target).name
        elif not isinstance(default, Required):
            entry["default"] = as_list(default)
        described_options[option.name] = entry
    return described_options


def _table(listed: dict[str, Any]) -> str:
    lines = []
    for kind, cards in listed.items():
        lines.append(kind)
        width = max(map(len, cards), default=0)
        for name, card in cards.items():
            lines.append(f"  {name:{width}}  {card.get('summary', '')}".rstrip())
            for option, entry in card.get("options", {}).items():
                default = f" = {json.dumps(entry['default'], ensure_ascii=False)}" if "default" in entry else ""
                lines.append(f"  {'':{width}}    {option}{default}: {entry['type']}. {entry['doc']}".rstrip())
    return "\n".join(lines)
