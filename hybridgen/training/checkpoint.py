"""A checkpoint as it is read back: checked before training goes on from it."""

from pathlib import Path
from typing import Any, Final

import torch

from hybridgen.system.errors import UserError

FIELDS: Final = {"global_step": int, "state_dict": dict, "optimizer_states": list, "callbacks": dict}


def steps_in(file: Path) -> int:
    """Optimiser steps that a checkpoint holds.

    Raises:
        UserError: it is damaged, or no checkpoint of a stage.
    """
    try:
        held: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises whatever a damaged file leads it to
        raise _damaged(file, (str(error).splitlines() or [type(error).__name__])[0][:120]) from error
    wrong = [
        name for name, kind in FIELDS.items() if not isinstance(held, dict) or not isinstance(held.get(name), kind)
    ]
    if wrong:
        raise _damaged(file, f"it lacks {', '.join(wrong)}")
    return int(held["global_step"])


def _damaged(file: Path, problem: str) -> UserError:
    return UserError(f"{file}: not a whole checkpoint: {problem}\n  delete the file, and the stage begins anew")
