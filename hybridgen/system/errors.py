"""What a user can mend: one exception family, and one sentence for every closed list."""

import difflib
import sys
from collections.abc import Iterable

LISTED = 100  # names that a message lists; of more it shows those that are near


class UserError(Exception):
    """Something the user can mend. The command line prints the message and exits with 2; nothing was written."""


class UserErrors(UserError):
    """Several mistakes found in one pass, reported together."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(dict.fromkeys(messages))
        super().__init__("\n".join(self.messages))


def unknown(kind: str, name: object, known: Iterable[str], where: str = "") -> str:
    """The message for a name that is not on a closed list: place, name, nearest spelling, what is known."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(str(name), names, n=5, cutoff=0.5)
    place = f"{where}: " if where else ""
    hint = f" Did you mean '{near[0]}'?" if near else ""
    if len(names) > LISTED:
        some = near or names[:5]
        return f"{place}unknown {kind} '{name}'.{hint}\n  known: {len(names)}, such as {', '.join(some)}"
    return f"{place}unknown {kind} '{name}'.{hint}\n  known: {', '.join(names) or '(none)'}"


def warn(message: object) -> None:
    """Prints a warning on stderr; the work goes on."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
