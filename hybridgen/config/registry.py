"""Cards: one small YAML file a part or preset, `registry/<slot>/<name>.yaml`. The file is the registration.

Listing reads YAML alone; a class is imported when it is built. Cards come from the built-in folder, from the folders
that the user names (`--registry DIR`), from installed packages (entry points of the group `hybridgen.registry`, each
a module beside whose source a folder `registry` lies), and as `./my_head.py:MyHead` without any YAML.

Trust: nothing else may make us import a file. A stored run that used one asks for `--registry` again.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from hybridgen.config.paths import registry_folder, shown
from hybridgen.config.schema import CONTRACTS
from hybridgen.config.source import find_spec
from hybridgen.config.yaml_text import Layer, Place, read_file
from hybridgen.system.errors import UserError, unknown

GROUP = "hybridgen.registry"
FIELDS = ("target", "summary", "paper", "options", "dims", "tiny")


@dataclass(frozen=True)
class Card:
    """A part or preset: its class, and the options it sets. `target` is "module.Class" or "/file.py:Class".

    `tiny` are options with which tests build the part in milliseconds; see `Registry.tiny`.
    """

    slot: str
    name: str
    target: str
    summary: str = ""
    paper: tuple[str, ...] = ()
    dims: tuple[int, ...] = ()
    options: Layer = field(default_factory=lambda: Layer({}, {}))
    named_by: str = ""
    tiny: Mapping[str, Any] = field(default_factory=dict)


class Registry:
    """The cards that one command may use.

    Args:
        registries: what the user named by `--registry`: folders of cards and part files.
        homes: folders of the experiment files that the user named; part files in them may be imported.
    """

    def __init__(self, registries: Sequence[Path] = (), homes: Sequence[Path] = ()) -> None:
        self.named = tuple(Path(path).resolve() for path in registries)
        for path in self.named:
            if not path.is_dir():
                raise UserError(f"--registry {shown(path)}: there is no such folder")
        self.homes = (*(home.resolve() for home in homes), *self.named)
        self._modules: dict[Path, ModuleType] = {}
        self._used: dict[tuple[str, str], Card] = {}  # cards of part files, once they were found to be trusted

    def slots(self) -> list[str]:
        """Names of the slots, in the order in which data passes them."""
        return list(CONTRACTS)

    def names(self, slot: str) -> list[str]:
        """Names of a slot's cards."""
        return sorted(self._files.get(slot, {}))

    def card(self, slot: str, name: str, place: Place) -> Card:
        """The card of that name, or of the class that `./file.py:Class` names.

        Raises:
            UserError: there is none, or it may not be used.
        """
        if ".py:" in name:
            return self._file_card(slot, name, place)
        path = self._files.get(slot, {}).get(name)
        if path is None:
            raise UserError(unknown("card", name, self.names(slot)))
        return _read_card(slot, path)

    def card_of(self, slot: str, target: str) -> Card:
        """The card of a class that stands as a default in a signature; the barest, if several name it.

        A class in a part file needs none: the file is in use already, since another class of it names the default.
        """
        cards = [_read_card(slot, path) for _, path in sorted(self._files.get(slot, {}).items())]
        found = [card for card in cards if card.target == target]
        if not found and ".py:" in target:
            return self._file_card(slot, target, Place(target))
        if not found:
            raise UserError(f"no card in registry/{slot} names the class '{target}', which is a default")
        return min(found, key=lambda card: len(card.options.values))

    def tiny(self, slot: str, name: str) -> Mapping[str, Any]:
        """Options with which tests build a card in milliseconds: its own, else those of its class' barest card."""
        card = self.card(slot, name, Place("tests"))
        return card.tiny or self.card_of(slot, card.target).tiny

    def resolved_card(self, slot: str, name: str) -> Card:
        """The card that a resolved config names."""
        return self._used.get((slot, name)) or self.card(slot, name, Place("config", stored=True))

    def load(self, card: Card) -> type:
        """The class of a card, imported now.

        Raises:
            UserError: the import fails, or the class is not of the card's slot.
        """
        found = self.load_class(card.target, card.named_by)
        contract = self.load_class(CONTRACTS[card.slot], card.named_by)
        if not issubclass(found, contract):
            needed = f"it must derive from {CONTRACTS[card.slot]}"
            raise UserError(f"{card.named_by}: '{card.target}' does not serve as {card.slot}; {needed}")
        return found

    def load_class(self, target: str, named_by: str) -> type:
        """The class "package.module.Class" or "/file.py:Class", imported now."""
        file, colon, name = target.rpartition(":")
        if colon:
            module = self._import_file(Path(file), named_by)
        else:
            dotted, _, name = target.rpartition(".")
            module = _import(dotted, named_by)
        found = getattr(module, name, None)
        if not isinstance(found, type):
            raise UserError(f"{named_by}: '{target}' is not a class")
        return found

    @cached_property
    def _files(self) -> Mapping[str, Mapping[str, Path]]:
        """slot -> name -> file of every card."""
        found: dict[str, dict[str, Path]] = {}
        _collect(registry_folder(), found)
        for folder in self.named:
            _collect(folder, found)
        for name, folder in _installed():
            try:
                _collect(folder, found)
            except UserError as error:
                _warn(f"cards of the installed package {name} are left out: {error}")
        return found

    def _file_card(self, slot: str, name: str, place: Place) -> Card:
        text, _, class_name = name.rpartition(":")
        path = self._file(text, place)
        home = next((home for home in self.homes if path.is_relative_to(home)), None)
        if home is None and (place.file or place.stored):
            allowed = ", ".join(shown(home) for home in self.homes) or "(none)"
            raise UserError(f"the file {text} lies outside of the folders you named, so it is not imported: {allowed}")
        if not path.is_file():
            raise UserError(f"there is no file {shown(path)}")
        inside = path.relative_to(home or path.parent)
        card = Card(slot, f"./{inside.as_posix()}:{class_name}", f"{path}:{class_name}", named_by=place.text)
        if self._used.setdefault((slot, card.name), card).target != card.target:
            raise UserError(f"two files are called {card.name}; rename one")
        return card

    def _file(self, text: str, place: Place) -> Path:
        """The file of a part: beside the experiment file, below the working folder, or in a trusted folder."""
        if not place.stored:
            return ((place.file.parent if place.file else Path.cwd()) / text).resolve()
        path = next((home / text for home in self.homes if (home / text).is_file()), None)
        if path is None:
            raise UserError(
                f"the file {text} is not imported unasked, as a stored run names it\n"
                f"  allow it: --registry FOLDER, the folder in which {text} lies"
            )
        return path.resolve()

    def _import_file(self, path: Path, named_by: str) -> ModuleType:
        if path not in self._modules:
            print(f"importing {shown(path)} (named by {named_by})", file=sys.stderr)
            name = f"hybridgen_part_{path.stem}_{crc32(str(path).encode()):x}"
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None, "a .py file has a loader"
            assert spec.loader is not None, "a .py file has a loader"
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # dataclasses look their module up
            try:
                spec.loader.exec_module(module)
            except (Exception, SystemExit) as error:
                del sys.modules[name]
                raise _failed(shown(path), named_by, error) from error
            self._modules[path] = module
        return self._modules[path]


def _collect(folder: Path, found: dict[str, dict[str, Path]]) -> None:
    for path in sorted(folder.glob("*/*.yaml")):
        slot = path.parent.name
        if slot not in CONTRACTS:
            continue  # a folder named by the user may hold other things, such as experiments
        known = found.setdefault(slot, {})
        if path.stem in known:
            raise UserError(f"{shown(path)}: a card {slot}/{path.stem} is at {shown(known[path.stem])}; rename one")
        known[path.stem] = path


def _installed() -> list[tuple[str, Path]]:
    """Name and registry folder of each installed package that offers cards; a broken one is only warned of."""
    from importlib.metadata import entry_points

    folders = []
    for point in entry_points(group=GROUP):
        spec = find_spec(point.module)
        folder = Path(spec.origin).parent / "registry" if spec and spec.origin else None
        if folder is None or not folder.is_dir():
            _warn(f"the installed package {point.name} offers no cards: no folder 'registry' beside {point.value}")
        else:
            folders.append((point.name, folder))
    return folders


def _read_card(slot: str, path: Path) -> Card:
    layer = read_file(path)
    values = layer.values
    strange = next((key for key in values if key not in FIELDS), None)
    if strange is not None:
        raise UserError(unknown("key", strange, FIELDS, where=str(layer.places[strange])))
    wanted: dict[str, Any] = {"target": str, "summary": str, "options": dict, "tiny": dict}
    for key, kind in wanted.items():
        if not isinstance(values.get(key, kind()), kind):
            raise UserError(f"{layer.places[key]}: {key}: a {'mapping' if kind is dict else 'text'} is needed")
    target = values.get("target", "")
    if not target:
        raise UserError(f"{shown(path)}: a card needs `target: package.module.Class` or `target: ./file.py:Class`")
    if ".py:" in target:
        file, _, name = target.rpartition(":")
        inside = (path.parent / file).resolve()
        if not inside.is_relative_to(path.parent.parent.resolve()):
            raise UserError(f"{shown(path)}: target: {file} lies outside of the registry's folder")
        target = f"{inside}:{name}"
    places = {k.removeprefix("options."): v for k, v in layer.places.items() if k.startswith("options.")}
    return Card(
        slot, path.stem, target, values.get("summary", ""), _texts(values.get("paper")),
        tuple(values.get("dims", ())), Layer(values.get("options", {}), places), shown(path), values.get("tiny", {}),
    )  # fmt: skip


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),) if value else ()


def _import(dotted: str, named_by: str) -> ModuleType:
    try:
        return importlib.import_module(dotted)
    except Exception as error:
        if dotted.startswith("hybridgen."):
            raise  # ours: the traceback is what helps
        raise _failed(dotted, named_by, error) from error


def _failed(what: str, named_by: str, error: BaseException) -> UserError:
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    line = f" in line {last.tb_lineno} of {shown(Path(last.tb_frame.f_code.co_filename))}" if last else ""
    return UserError(f"{named_by}: importing {what} raised {type(error).__name__}: {error}{line}")


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
