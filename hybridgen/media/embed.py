"""Files inside a page: an element that shows the bytes of a sample, a sheet or a plot."""

import base64
from html import escape
from pathlib import Path

SUFFIXES = (".png",)  # of sheets and plots that a folder may hold
_TAGS = {"image": "img"}


def element(content: bytes, suffix: str, title: str, css: str = "") -> str:
    """An HTML element with the content inside; `title` stands for it where it cannot be seen."""
    kind = _kind(suffix)
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    css = f" class={css}" if css else ""
    return f'<{_TAGS[kind.partition("/")[0]]}{css} src="{source}" alt="{escape(title)}">'


def file_element(path: Path, title: str, css: str = "") -> str:
    """The same of a file."""
    return element(path.read_bytes(), path.suffix, title, css)


def sheet_in(folder: Path, stem: str) -> Path | None:
    """The sheet or plot of that name in a folder, whatever its ending; None where there is none."""
    return next((file for suffix in SUFFIXES if (file := folder / f"{stem}{suffix}").exists()), None)


def _kind(suffix: str) -> str:
    return {".jpg": "image/jpeg", ".jpeg": "image/jpeg"}.get(suffix.lower(), f"image/{suffix.lower().lstrip('.')}")
