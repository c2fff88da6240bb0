#!/usr/bin/env bash
# The wheel alone, in a fresh environment and from another directory: lists, composes, trains 3 steps, reloads.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$root/.venv/bin/python" -m build --wheel --outdir "$place/dist" "$root" >"$place/build.log" 2>&1 || {
  cat "$place/build.log"
  exit 1
}
"$root/.venv/bin/python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --constraint "$root/constraints.txt" "$place"/dist/*.whl

mkdir "$place/elsewhere"
cd "$place/elsewhere"
unset PYTHONPATH
hybridgen() { "$place/venv/bin/hybridgen" "$@"; }

ls -l "$place"/dist/*.whl
hybridgen --version
hybridgen list >list.txt
grep -q hybrid list.txt
hybridgen compose demo >demo.yaml
grep -q residual_head demo.yaml
hybridgen train demo train.tokenizer.steps=3 train.generator.steps=3 metrics.samples=128
model=$(find runs -name model.safetensors | grep -v '^runs/tokenizers/' | head -n 1)
"$place/venv/bin/python" - "$model" <<'PYTHON'
import sys

import hybridgen

assert "site-packages" in hybridgen.__file__, hybridgen.__file__
images = hybridgen.load(sys.argv[1]).sample(labels=[3, 5], seed=0, head_steps=2)
print("sampled", tuple(images.shape))
PYTHON
hybridgen sample demo --count 2 --out drawn
ls drawn
