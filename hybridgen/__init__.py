"""hybridgen: hybrid autoregressive + diffusion generators, built from swappable parts."""

from typing import TYPE_CHECKING, Any

from hybridgen.system.version import __version__

__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from hybridgen.generate.trained import load as load


def __getattr__(name: str) -> Any:
    """`hybridgen.load`, imported when it is first asked for: `hybridgen --help` must not wait for torch."""
    if name == "load":
        from hybridgen.generate.trained import load

        return load
    raise AttributeError(f"module 'hybridgen' has no attribute {name!r}")
