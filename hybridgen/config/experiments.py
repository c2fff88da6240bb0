"""Experiment files: found by name, read with all that they extend."""

from pathlib import Path

from hybridgen.config.merge import check_texts
from hybridgen.config.paths import experiments_folder, shown
from hybridgen.config.yaml_text import Layer, read_file
from hybridgen.system.errors import UserError, unknown


def experiment_names() -> list[str]:
    """Names of the shipped experiments, such as image/hart_cifar10; `base` is what they share, not one of them."""
    folder = experiments_folder()
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    return sorted(name for name in names if name.partition("/")[0] != "base")


def experiment_summary(name: str) -> str:
    """The first line of an experiment's header."""
    with (experiments_folder() / f"{name}.yaml").open(encoding="utf-8") as file:
        line = file.readline()
    return line.lstrip("# ").rstrip() if line.startswith("#") else ""


def find_experiment(name: str) -> Path:
    """The file of an experiment: a path to a `.yaml`, or a name under `experiments/`, its folder left out if unique.

    Raises:
        UserError: there is none, or several of that name.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"{name}: there is no such file")
        return Path(name).resolve()
    known = experiment_names()
    found = [name] if name in (*known, "base") else [k for k in known if k.rpartition("/")[2] == name]
    if len(found) > 1:
        raise UserError(f"experiment '{name}' is several: {', '.join(found)}. Write one of them")
    if not found:
        raise UserError(unknown("experiment", name, known))
    return (experiments_folder() / f"{found[0]}.yaml").resolve()


def read_experiment(path: Path) -> list[tuple[Path, Layer]]:
    """The file and all that it extends, to be laid on top of each other in this order.

    Raises:
        UserError: a file is absent or damaged, or the files extend each other in a circle.
    """
    files: list[tuple[Path, Layer]] = []
    _read(path, (), files)
    return files


def _read(path: Path, above: tuple[Path, ...], files: list[tuple[Path, Layer]]) -> None:
    layer = read_file(path)
    check_texts(layer)
    place = layer.places.get("extends")
    parents = layer.values.pop("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(name, str) for name in parents):
        raise UserError(f"{place}: extends: the name of an experiment is needed, or a list of names")
    for name in parents:
        parent = _parent(name, path, str(place))
        if parent in (*above, path):
            circle = " -> ".join(shown(p) for p in (*above, path, parent))
            raise UserError(f"{place}: extends: the files extend each other in a circle: {circle}")
        if all(parent != file for file, _ in files):  # two parents may share theirs; it comes once, below both
            _read(parent, (*above, path), files)
    files.append((path, layer))


def _parent(name: str, path: Path, place: str) -> Path:
    beside = path.parent / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if beside.is_file():
        return beside.resolve()
    try:
        return find_experiment(name)
    except UserError as error:
        raise UserError(f"{place}: extends: {error}") from None
