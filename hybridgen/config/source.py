"""Finds and parses the source of a class without importing it, and follows the names in it to where they stand."""

import ast
import importlib.machinery
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from hybridgen.config.paths import shown
from hybridgen.system.errors import UserError

Found = tuple["Module", ast.stmt]


class Module:
    """One source file, parsed; `name` is its dotted name, empty for a file that is no module."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file.

        Raises:
            UserError: it cannot be read, or is not Python.
        """
        try:
            return ast.parse(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{shown(self.path)}: cannot be read ({error})") from None
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", 0) or 1
            raise UserError(f"{shown(self.path)}:{line}: not Python: {getattr(error, 'msg', error)}") from None

    def find(self, name: str) -> Found | None:
        """Where a name is defined: a class, function or assignment here, or in the module it is imported from."""
        for statement in reversed(list(_statements(self.tree))):
            if isinstance(statement, ast.ClassDef | ast.FunctionDef) and statement.name == name:
                return self, statement
            if isinstance(statement, ast.Assign) and _assigns(statement, name):
                return self, statement
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if (alias.asname or alias.name) == name:
                        return self._imported(statement, alias.name)
        return None

    def classes(self) -> list[str]:
        """Names of the classes defined here."""
        return [s.name for s in _statements(self.tree) if isinstance(s, ast.ClassDef) and not s.name.startswith("_")]

    def target(self, name: str) -> str:
        """How a card would name a class of this file."""
        return f"{self.name}.{name}" if self.name else f"{self.path}:{name}"

    def _imported(self, statement: ast.ImportFrom, name: str) -> Found | None:
        dotted = statement.module or ""
        if statement.level:
            package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
            parents = package.split(".")[: len(package.split(".")) - statement.level + 1]
            dotted = ".".join(part for part in (*parents, dotted) if part)
        if dotted.partition(".")[0] in sys.stdlib_module_names:
            return None  # nothing in there is an option's type that we do not know by name
        path = module_path(dotted)
        return Module(path, dotted).find(name) if path else None


def locate(target: str) -> tuple[Module, str]:
    """The module and the class name that "package.module.Class" or "file.py:Class" mean.

    Raises:
        UserError: there is no such module.
    """
    file, colon, name = target.rpartition(":")
    if colon:
        return Module(Path(file)), name
    dotted, _, name = target.rpartition(".")
    path = module_path(dotted)
    if path is None:
        raise UserError(f"target '{target}': no module '{dotted}' is installed")
    return Module(path, dotted), name


def module_path(dotted: str) -> Path | None:
    """The source file of a module; its parent packages are not imported, as `importlib.util.find_spec` would."""
    found = find_spec(dotted)
    return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None


def find_spec(dotted: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module, found without importing anything."""
    places, found = None, None
    parts = dotted.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        specs = (finder.find_spec(name, places) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        found = next((spec for spec in specs if spec is not None), None)
        if found is None or (count < len(parts) and found.submodule_search_locations is None):
            return None
        places = list(found.submodule_search_locations or [])
    return found


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Top-level statements, those under a top-level `if` or `try` included."""
    for statement in tree.body:
        if isinstance(statement, ast.If | ast.Try):
            yield from statement.body
        else:
            yield statement


def _assigns(statement: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in statement.targets)
