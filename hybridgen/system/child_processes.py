"""The processes that this one starts: what they may import, how many there may be, and that they end with it."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hybridgen.system.errors import UserError

PACKAGE: Final = Path(__file__).resolve().parents[2]  # the folder that holds `hybridgen`
OVERSUBSCRIBE: Final = "HYBRIDGEN_OVERSUBSCRIBE"
PARENT: Final = "HYBRIDGEN_CHILD"  # the pid of the process that started this one and that it must not outlive


def import_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which a Python process finds this very package and the user's own folders, and nothing unasked.

    An empty entry of PYTHONPATH would stand for the working folder and undo `-P`, so none is passed on;
    PYTHONSAFEPATH does the same as `-P` for the processes that the child starts.
    """
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    return {"PYTHONPATH": os.pathsep.join([str(PACKAGE), *(e for e in given if e)]), "PYTHONSAFEPATH": "1"}


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a Python process that this one starts, with further variables."""
    return os.environ | import_settings() | more


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_count(count: int, option: str) -> None:
    """Refuses more busy processes than there are cores, unless the environment says that they are wanted.

    Args:
        count: of processes on this machine.
        option: that asks for them, such as "compute.devices"; it begins the message.

    Raises:
        UserError: there are fewer cores.
    """
    there = cores()
    if count > there and os.environ.get(OVERSUBSCRIBE, "") in ("", "0"):
        raise UserError(
            f"{option}: {count} processes, but there are {there} cores here; more only hinder each other\n"
            f"  ask for at most {there}, or, if it is meant so, set {OVERSUBSCRIBE}=1 as well"
        )


def end_with_parent() -> None:
    """Where another process of ours started this one to help it: ends this one when that one is gone, killed perhaps.

    Called before anything else, so that nothing is left behind when the first process dies early.
    """
    parent = os.environ.get(PARENT, "")
    if parent.isdecimal():
        threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
