"""Makes the goldens from the reference data: `python tests/parity/goldens/make.py ../shared/refs`.

Each is a case with fewer outputs, and with a recipe in place of its weights, which is checked to give them again to the
last bit but one. Code under licences other than MIT is left out, and with it DiT.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
LIMIT = 1_000_000  # bytes of all files
ENOUGH = 12  # numbers of a tensor, for a fit to mean something
KEPT = {  # case: patterns of its inputs and outputs
    "sit": r"in\..* out\.(forward.*|loss\..*|ode\..*|sde\..*\.final_all_2B)",
    "var": r"""in\.train\..* out\.train\.ce.* in\.gen\..* out\.gen_greedy\.s\d\.tokens
        out\.gen_greedy\.s[0-2]\.(hidden|guided|fhat) out\.gen_greedy\.s4\.fhat in\.gen_uniform\.s\d\.u
        out\.gen_uniform\.s\d\.tokens out\.gen_uniform\.s[01]\.(guided|probs)""",
    "var_vqvae": r"in\..* out\.(f|idx\.\d|recursion\..*|forward\.vq_loss|idx_to_image)",
    "hart_t2i": r"""in\.(train|gen|head|rope)\..* out\.gen\..* out\.rope\.q_rotated
        out\.head\.(net|sample)\..* out\.train\.(logits_lse|kept_positions|last_n.*|head_t.*|head_z|rows\..*|diff_loss)
        in\.gen_discrete\..* out\.gen_discrete\.(s\d\.(tokens|top_k|n_kept|guided\.lse)|final_fhat)""",
    "hart_tokenizer": r"in\..* out\.(f|hybrid\.(idx.*|rest.*)|recursion\.fhat\.7|forward\.discrete\.vq_loss)",
    "mar": r"in\.(train|gen|head|gen_nocfg)\..* out\.(train|head|gen_nocfg)\..*",
    "llamagen_c2i": r"""in\..* out\.freqs_cis out\.train.*loss out\.gen_nocfg\..*
        out\.gen_uniform\.(guided|probs|sequence)""",
    "llamagen_vq": r"in\..* out\.(f|codes|quant|train\.(codes|.*loss))",
}
NOT_NEEDED = re.compile(r"attn_bias_for_masking|.*zero_k_bias|quantize\.(codebook_used|ema_vocab_hit_SV)")
"""No part of the model: masks and constants that follow from its sizes, and how often codes were used in training."""


def recipe(weights, seed):
    """Rows for `grow` in the order of the stream, and what no row gives."""
    rng, rows = torch.Generator().manual_seed(seed), []
    left = {name: value for name, value in weights.items() if not NOT_NEEDED.fullmatch(name)}
    while found := following(left, rng) or after_a_gap(left, rng):
        for row in found:
            torch.randn(row[1], generator=rng)
            rows.append(row)
            left.pop(row[0], None)
    return rows, {**left, **{name: weights[name] for name, _, _, gain in rows if gain is None and name in weights}}


def following(left, rng):
    """The row that the stream gives next, in a list."""
    return next(([row] for name in left if (row := row_of(name, left[name], rng))), None)


def after_a_gap(left, rng):
    """A draw that became something else than a normal number shifted and scaled, and the row after it."""
    for name, value in left.items():
        ahead = torch.Generator()
        ahead.set_state(rng.get_state())
        torch.randn(value.shape, generator=ahead)
        others = {other: v for other, v in left.items() if other != name and v.numel() >= ENOUGH}
        if found := following(others, ahead):
            return [[name, list(value.shape), 0.0, None], *found]
    return None


def row_of(name, value, rng):
    """Name, shape, shift and gain, if these draws give this tensor to the last bit but one."""
    if not value.is_floating_point() or value.std() == 0:
        return None
    ahead = torch.Generator()
    ahead.set_state(rng.get_state())
    normal = torch.randn(value.shape, generator=ahead)
    for shift, gain in rules(value, normal):
        if (shift + gain * normal - value).abs().max() <= 3e-7 * value.abs().max():
            return [name, list(value.shape), shift, gain]
    return None


def rules(value, normal):
    """Shifts and gains that a case may have used; of a tensor with enough numbers, those that fit."""
    fan = value[0].numel() if value.dim() > 1 else 1
    yield from ((0.0, fan**-0.5), (0.0, 0.05), (1.0, 0.1))
    if value.numel() >= ENOUGH:
        around, wide = value.double() - value.double().mean(), normal.double() - normal.double().mean()
        gain = ((around * wide).sum() / wide.square().sum()).item()
        shift = (value.double().mean() - gain * normal.double().mean()).item()
        yield from ((0.0, gain), (round(shift, 3), gain), (shift, gain))


def make(source, name):
    """One golden, in place of the one that is there."""
    config = json.loads((source / "config.json").read_text())
    tolerances, io = json.loads((source / "tolerances.json").read_text()), load_file(source / "io.safetensors")
    kept = {k: v for k, v in io.items() if any(re.fullmatch(p, k) for p in KEPT[name].split())}
    drawn, plain = recipe(load_file(source / "weights.safetensors"), config["seed"])
    about = {
        "config": config, "drawn": drawn, "tolerances": {k: tolerances[k] for k in kept if k in tolerances},
        "left_out": sorted(io.keys() - kept.keys()),
    }  # fmt: skip
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save_file({**kept, **{f"weight.{k}": v for k, v in plain.items()}}, folder / "io.safetensors")
    (folder / "case.json").write_text(json.dumps(about, separators=(",", ":")) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name:16} {size:>8,} bytes, {len(drawn)} weights drawn, as they are: {', '.join(plain) or 'none'}")
    return size


if __name__ == "__main__":
    total = sum(make(Path(sys.argv[1]) / name, name) for name in KEPT)
    print(f"{total:,} bytes of {LIMIT:,}")
    sys.exit(total > LIMIT)
