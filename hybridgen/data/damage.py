"""One error for all samples of a source that cannot be read."""

from collections.abc import Iterable

from hybridgen.system.errors import UserError

NAMED = 10  # how many bad samples one message names


def damaged(bad: Iterable[str], seen: int, where: object, remedy: str = "mend or remove them") -> UserError:
    """The error: the first ten named, all counted."""
    messages = list(bad)
    more = f"\n  and {len(messages) - NAMED} more" if len(messages) > NAMED else ""
    lines = "\n  ".join(messages[:NAMED])
    return UserError(f"{where}: {len(messages)} of {seen} samples cannot be used; {remedy}:\n  {lines}{more}")
