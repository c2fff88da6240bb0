"""docs/published.md: `python tests/parity/page.py ACCOUNT`, or `make published`, which runs the parity tests first.

ACCOUNT is the folder that the parity tests filled, HYBRIDGEN_PARITY. Each section is a function that gives Markdown.
"""

import json
import sys
from functools import cache
from pathlib import Path

import torch

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import compose
from hybridgen.evaluation.savings import REASONS
from hybridgen.published.catalogue import catalogue
from hybridgen.published.counting import counted
from hybridgen.published.official import official
from hybridgen.published.slips import slips

PAGE = Path(__file__).resolve().parents[2] / "docs/published.md"
HEAD = """# Published systems

What of the published systems was compared with the official code, and how it came out. This page is generated:

    make published

runs the parity tests, which write down what they compared, and counts parameters and multiply-accumulates on tensors
without memory. The tests read the same files, so what is stale here fails there.
"""
NOT_RUN = """## What was not run

- No official weights were at hand: nothing was drawn from an official checkpoint, and no published figure (FID and the
  like) was measured again. The weights of the comparisons are random, and tiny.
- Half precision, gradients of the official code, and its training loops. HART's safety filter and its language model's
  own weights; LlamaGen's.
- FlowAR, xAR, Infinity, MaskGIT and GIVT are not rebuilt.
"""
CASES = {
    "hart_t2i": "HART", "hart_t2i_adaln": "HART", "hart_text": "HART", "hart_tokenizer": "HART",
    "var": "VAR", "var_shared_aln": "VAR", "var_vqvae": "VAR, HART", "mar": "MAR", "mar_vae": "MAR",
    "llamagen_c2i": "LlamaGen", "llamagen_t2i": "LlamaGen", "llamagen_vq": "LlamaGen", "dit": "DiT", "sit": "SiT",
    "diffusion_tables": "DiT, MAR, HART",
}  # fmt: skip


def table(head, rows):
    """Markdown; numbers stand to the right."""
    ruler = ["---:" if name.endswith("#") else "---" for name in head]
    names = [name.rstrip("#") for name in head]
    return "\n".join("| " + " | ".join(row) + " |" for row in [names, ruler, *rows]) + "\n"


@cache
def parameters(model):
    """Of the generator and of the tokenizer."""
    composed = compose(f"published/{model}")
    with torch.device("meta"):
        built = assemble_model(composed, assemble_data(composed).spec)
    whole, tokenizer = (sum(p.numel() for p in part.parameters()) for part in (built, built.tokenizer))
    return whole - tokenizer, tokenizer


def models():
    """Parameters, licences, weights."""
    rows = []
    for name, entry in catalogue().items():
        theirs, published = official()[name], "yes" if entry.files else "never"
        ours, pairs = parameters(name), (theirs.parameters, theirs.tokenizer)
        counts = [f"{own:,} / {their:,}" for own, their in zip(ours, pairs, strict=True)]
        rows.append([f"`{name}`", *counts, published, entry.licence, f"`{entry.source}`"])
    head = ["Model", "Generator#", "Tokenizer#", "Weights published", "Licence, as stated there", "Official code"]
    return (
        "## Parameters and licences\n\nOurs / official, frozen ones among them. `hybridgen import --list` says where "
        "the files are; what could not be read is `unverified`.\n\n" + table(head, rows)
    )


def costs():
    """Multiply-accumulates: executed, as the official code would, official."""
    rows, every = [], official().values()
    for entry, count in [(one, count) for one in every for count in one.counts]:
        ours, said = counted(entry.model, count.overrides), " ".join(count.overrides) or "as published"
        spent = ours.as_spent(entry.spends)["total"]
        counts = [giga(ours.generator), giga(spent), giga(count.generator)]
        off = f"{100 * (spent / count.generator - 1):+.2f} %"
        kept = ", ".join(f"{reason} {giga(ours.spared[reason])}" for reason in entry.spends if reason in ours.savings)
        decoder = f"{giga(ours.parts['tokenizer'])} / {giga(count.decoder)}"
        rows.append([f"`{entry.model}`", said, *counts, off, kept or "none", decoder])
    others = ", ".join(f"`{one.model}`" for one in every if not one.counts)
    head = ["Model", "Settings", "Executed#", "As the official code#", "Official#", "Difference#", "Spared", "Decoder#"]
    reasons = "\n".join(f"- {name}: {why}" for name, why in REASONS.items())
    return (
        "## Multiply-accumulates\n\nOf one picture and one row, in units of 10^9 (a multiply-accumulate is two FLOPs). "
        "Guidance adds a second row to all but the decoder, which stands apart (ours / official). Matrix products, "
        "convolutions and attention are counted, norms and activations not. `hybridgen cost` prints the same, by "
        "part. *Executed* is what our loop does; what the official code does on top of it was spared:\n\n"
        f"{reasons}\n\n" + table(head, rows) + f"\nNo official count was at hand of {others}.\n"
    )


def outputs(account):
    """What the parity tests compared, by case and by stage."""
    told = {path.stem: json.loads(path.read_text()) for path in Path(account).glob("*.json")}
    assert not CASES.keys() - told.keys(), f"{account}: no account of {', '.join(CASES.keys() - told.keys())}"
    rows, worst = [], []
    for name, system in CASES.items():
        case = told[name]
        rows.append([f"`{name}`", system, f"{len(case['compared'])} of {case['outputs']}"])
        for stage, pairs in stages(case["compared"]).items():
            error, allowed = max(pairs, key=lambda pair: pair[0] / (pair[1] or 1))
            said = [f"{error:.1e}", f"{allowed:.1e}"] if allowed else ["none", "none: whole numbers"]
            worst.append([f"`{name}`", f"`{stage}`", str(len(pairs)), *said])
    return (
        "## Outputs compared\n\nThe official code was run with tiny random weights, in float32, and its outputs were "
        "stored; each is compared.\n\n"
        + table(["Case", "System", "Outputs compared#"], rows)
        + "\nBy stage, which is the first word of an output's name: of the output that comes nearest to its own "
        "tolerance, the largest difference over the largest value. Tolerances are ten times what threads, kernels and "
        "one unit in the last place of the weights were measured to change, and 1e-5 at least.\n\n"
        + table(["Case", "Stage", "Outputs#", "Largest error#", "Its tolerance#"], worst)
    )  # fmt: skip


def stages(compared):
    """[error, tolerance] of each output, by the first word of its name."""
    found = {}
    for key, pair in compared.items():
        found.setdefault(key.partition(".")[0], []).append(pair)
    return found


def slip_table():
    """Each official slip, and the option that reproduces it."""
    rows = []
    for slip in slips():
        how = "<br>".join(f"`{s.at}={json.dumps(s.value)}` ({s.experiment})" for s in slip.settings)
        rows.append([slip.what, ", ".join(slip.listed), how or f"not rebuilt: {slip.not_rebuilt}"])
    return (
        "## Slips\n\nWhere an official code does other than it says, or than one would expect. *Listed*: by a reading "
        "of all the codes (survey), or by running tiny models of them (runs). In brackets, a published experiment that "
        "has the option.\n\n" + table(["What the official code does", "Listed", "Here"], rows)
    )


def giga(count):
    """In units of 10^9, four digits."""
    return f"{count / 1e9:,.0f}" if count >= 1e12 else f"{count / 1e9:.4g}"


if __name__ == "__main__":
    sections = [HEAD, models(), costs(), outputs(sys.argv[1]), slip_table(), NOT_RUN]
    PAGE.write_text("\n".join(sections), encoding="utf-8")
