"""`hybridgen laws`: put a part through the laws of its slot."""

import argparse
import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridgen.cli import VERBS
from hybridgen.config.registry import Card, Registry
from hybridgen.config.signature import SLOTS
from hybridgen.config.source import Module, locate
from hybridgen.config.yaml_text import Place
from hybridgen.system.errors import UserError, unknown

SUMMARY = VERBS["laws"]
LAWFUL = ("medium", "tokenizer", "conditioner", "order", "backbone", "code_head", "residual_head", "solver")
PLACES = {"solver": "sampler.solver", "medium": "data.medium"}  # of slots that are not nodes of the model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The part, and options for it."""
    parser.add_argument("part", metavar="PART", help="a card (slot/card, if several slots have one), or FILE.py:Class")
    parser.add_argument("options", metavar="option=value", nargs="*", help="of the part, such as depth=2")
    parser.add_argument(
        "--dims", metavar="N", type=int, choices=(1, 2, 3), help="grid dimensions (default: all it serves)"
    )
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")


def run(args: argparse.Namespace) -> int:
    """One line a law; exit code 1 if one does not hold."""
    card = _card(args.part, Registry(args.registry))
    path = PLACES.get(card.slot, f"model.{card.slot}")
    name = args.part if ".py:" in args.part else card.name
    from hybridgen.assemble import assemble_part
    from hybridgen.config.compose import compose

    base = ["data=folder"] if card.slot == "medium" else []
    composed = compose(
        "base", [*base, f"{path}={name}", *(f"{path}.{option}" for option in args.options)], args.registry
    )

    def build(offered: Mapping[str, Any]) -> Any:
        return assemble_part(composed, path, offered, slot=card.slot)

    from hybridgen.laws.cards import run_laws

    dims, broken, count = (args.dims,) if args.dims else card.dims or (1, 2, 3), 0, 0
    for verdict in run_laws(card.slot, build, dims):
        count, broken = count + 1, broken + bool(verdict.failures)
        print(f"{'BROKEN' if verdict.failures else 'holds '}  {verdict.law}: {verdict.promise}", flush=True)
        for failure in verdict.failures:
            print(f"        {failure}")
    print(f"{card.slot} {name}: {f'{broken} of {count} laws broken' if broken else f'all {count} laws hold'}")
    return 1 if broken else 0


def _card(part: str, registry: Registry) -> Card:
    """The card of that name, or of a class in a file, whose slot is that of the contract it derives from."""
    if ".py:" in part:
        file, _, name = part.rpartition(":")
        path = Path(file).resolve()
        if not path.is_file():
            raise UserError(f"there is no file {file}")
        return Card(_slot_of(f"{path}:{name}"), part, f"{path}:{name}")
    slot, _, name = part.rpartition("/")
    if slot and slot not in LAWFUL:
        raise UserError(unknown("slot", slot, LAWFUL, where="hybridgen laws") + "\n  only these have laws")
    holders = [s for s in LAWFUL if slot in ("", s) and name in registry.names(s)]
    if len(holders) > 1:
        raise UserError(
            f"hybridgen laws: '{name}' is a card of several slots: {', '.join(f'{s}/{name}' for s in holders)}"
        )
    if not holders:
        known = [card for s in LAWFUL if slot in ("", s) for card in registry.names(s)]
        raise UserError(unknown("card", name, dict.fromkeys(known), where="hybridgen laws"))
    return registry.card(holders[0], name, Place("hybridgen laws"))


def _slot_of(target: str) -> str:
    """The slot of a class by what it derives from; nothing is imported."""
    module, name = locate(target)
    found = module.find(name)
    if found is None or not isinstance(found[1], ast.ClassDef):
        raise UserError(unknown("class", name, module.classes(), where=str(module.path)))
    contracts = {contract for contract, slot in SLOTS.items() if slot in LAWFUL}
    base = next((b for b in _bases(found[0], found[1]) if b in contracts), None)
    if base is None:
        raise UserError(
            f"{module.path}: {name} derives from no contract that has laws\n  known: {', '.join(sorted(contracts))}"
        )
    return SLOTS[base]


def _bases(module: Module, node: ast.ClassDef) -> Iterator[str]:
    """Names of all classes above, nearest first."""
    for name in _names(node.bases):
        yield name
        found = module.find(name)
        if found is not None and isinstance(found[1], ast.ClassDef):
            yield from _bases(found[0], found[1])


def _names(bases: Sequence[ast.expr]) -> list[str]:
    return [b.id if isinstance(b, ast.Name) else b.attr for b in bases if isinstance(b, ast.Name | ast.Attribute)]
