"""The study's page."""
from pathlib import Path
def write_study(session, found): return Path("none")
