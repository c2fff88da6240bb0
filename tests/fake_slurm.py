"""A Slurm of four scripts: sbatch starts the batch script here, srun its task; scancel ends both; sacct knows all.

make(folder) -> a folder for the front of PATH
"""

import sys

SBATCH = """#!{python}
import os, pathlib, subprocess, sys
script = pathlib.Path(sys.argv[1])
number = str(os.getpid())
out = open({folder!r} + f"/{{number}}.out", "w")
environment = os.environ | {{"SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "here", "SLURM_NTASKS": "1"}}
task = subprocess.Popen(["bash", script], env=environment, stdout=out, stderr=out, start_new_session=True)
pathlib.Path({folder!r}, f"{{number}}.pid").write_text(str(task.pid))
pathlib.Path({folder!r}, f"{{number}}.script").write_text(script.read_text())
print(f"Submitted batch job {{number}}")
"""
SRUN = """#!{python}
import os, sys
words, rest = sys.argv[1:], []
while words and words[0].startswith("-"):
    word = words.pop(0)
    if word in ("--output", "--error"):
        name = words.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if word == "--output" else 2)
os.environ |= {{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1"}}
os.execvp(words[0], words)
"""
SCANCEL = """#!{python}
import contextlib, os, pathlib, signal, sys
with contextlib.suppress(ProcessLookupError):
    os.killpg(int(pathlib.Path({folder!r}, sys.argv[1] + ".pid").read_text()), signal.SIGTERM)
"""
SACCT = """#!{python}
import os, pathlib
print("JobID|State|NodeList")
for file in pathlib.Path({folder!r}).glob("*.pid"):
    try:
        state = pathlib.Path("/proc", file.read_text(), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "Z"
    print(f"{{file.stem}}|{{'COMPLETED' if state == 'Z' else 'RUNNING'}}|here")
"""


def make(folder):
    """Writes the scripts; they keep what they know in the same folder."""
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scancel", SCANCEL), ("sacct", SACCT)):
        file = folder / name
        file.write_text(text.format(python=sys.executable, folder=str(folder)))
        file.chmod(0o755)
    return folder
