"""What no file of the repository may hold: more than 3 MB, or a path that exists on one machine only."""

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 3_000_000  # bytes
# Written so that the pattern does not match itself.
LOCAL = re.compile(rb"/wor[k]/|file:///[o]pt|/roo[t]/|files\.python[h]osted|--(extra-)?index-ur[l]")


def main() -> int:
    """Prints each fault; the number of faults is the exit code, at most 1."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, text=True).stdout
    faults = []
    for path in sorted(Path(name) for name in listed.split("\0") if name):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if len(content) > LIMIT:
            faults.append(f"{path}: {len(content):,} bytes; the limit is {LIMIT:,}")
        if b"\0" not in content[:8192]:
            lines = content.splitlines()
            faults += [
                f"{path}:{i}: names one machine: {line[:80]!r}" for i, line in enumerate(lines, 1) if LOCAL.search(line)
            ]
    print("\n".join(faults) or f"{len(listed.split(chr(0))) - 1} files: none too large, none tied to one machine")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
