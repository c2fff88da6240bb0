"""A case of the reference data: weights, inputs, expected outputs, and the account of which outputs were compared.

A test module makes one `Case` (fixture of scope "module"), compares with `check`, and ends with `finish`.
"""

import json
import os
import tempfile
from functools import cache, cached_property
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.goldens.grown import read

HERE = Path(__file__).resolve().parent
ROUNDING = 1e-4  # above this tolerance, stated on the largest error, the root mean square is compared too


def shared_folder():
    """The folder `refs`, or None where it is absent."""
    place = Path(os.environ.get("HYBRIDGEN_SHARED", HERE.parents[1].parent / "shared")) / "refs"
    return place if place.is_dir() else None


def reference_folder():
    """The folder `refs`; a test that asks for it skips where it is absent."""
    place = shared_folder()
    if place is None:
        pytest.skip("no reference data: goldens alone do not tell this (set HYBRIDGEN_SHARED)")
    return place


class Kept(dict):
    """Tensors of a golden by name; a test that asks for one that it leaves out skips."""

    def __missing__(self, key):
        pytest.skip(f"the golden leaves out {key} (set HYBRIDGEN_SHARED)")


@cache
def grown_folder():
    """Where weights of goldens are put; gone at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="goldens")


class Case:
    """One case: of the reference data where they are, else of the goldens, which are its smaller copies.

    `ins` and `outs` hold its tensors by name, without "in." and "out."; `config` its description.
    """

    def __init__(self, name):
        self.name = name
        stored = self._whole(name) if shared_folder() else self._golden(name)
        self.ins = self._named(stored, "in.")
        self.outs = self._named(stored, "out.")
        self.config = self.about.get("config", {})
        self.tolerances = {k.removeprefix("out."): v for k, v in self.tolerances.items()}
        self.checked: dict[str, float] = {}  # key -> largest relative error (0 for integers)

    def _whole(self, name):
        self.folder, self.left_out = reference_folder() / name, frozenset()
        self.about = json.loads((self.folder / "config.json").read_text())
        self.tolerances = json.loads((self.folder / "tolerances.json").read_text())
        return load_file(self.folder / "io.safetensors")

    def _golden(self, name):
        self.folder = HERE / "goldens" / name
        if not self.folder.is_dir():
            pytest.skip(f"no golden of {name} (set HYBRIDGEN_SHARED)")
        golden, stored, weights = read(self.folder)
        self.weights = Kept(weights)
        self.about, self.tolerances = golden["config"], golden["tolerances"]
        self.left_out = frozenset(golden["left_out"])
        return stored

    def _named(self, stored, prefix):
        kind = Kept if self.left_out else dict
        return kind((k.removeprefix(prefix), v) for k, v in stored.items() if k.startswith(prefix))

    @cached_property
    def weights(self):
        """The official state dict."""
        return load_file(self.weights_file)

    @property
    def weights_file(self):
        """Where it lies."""
        if (self.folder / "weights.safetensors").is_file():
            return self.folder / "weights.safetensors"
        place = Path(grown_folder().name) / f"{self.name}.safetensors"
        save_file(self.weights, place)
        return place

    def experiment(self, name=None):
        """The path of the case's experiment under `cases/`, as the command line takes it."""
        return str(HERE / "cases" / f"{name or self.name}.yaml")

    def check(self, key, got, rms=True, part=slice(None)):
        """Compares with `out.<key>` within its own tolerance: largest difference over largest value.

        Where the tolerance exceeds 1e-4 the relative root mean square must not (`rms=False` says why not, at the call).
        `part`: rows that our code has, where the official one computes more and throws them away.
        What a golden leaves out is not compared.
        """
        if f"out.{key}" in self.left_out:
            return
        expected = self.outs[key][part] if self.outs[key].dim() else self.outs[key]
        assert isinstance(got, Tensor), key
        assert got.shape == expected.shape, f"{key}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
        got = got.detach()
        if not expected.is_floating_point():
            wrong = (got.to(expected.dtype) != expected).sum().item()
            assert wrong == 0, f"{key}: {wrong} of {expected.numel()} entries differ"
            self.checked[key] = 0.0
            return
        finite = expected.isfinite()
        assert (got.isfinite() == finite).all(), f"{key}: not finite where it should be, or the other way round"
        assert (got[~finite] == expected[~finite]).all(), f"{key}: another infinity"
        got, expected = got[finite].double(), expected[finite].double()
        error = ((got - expected).abs().max() / expected.abs().max().clamp_min(1e-12)).item() if got.numel() else 0.0
        allowed = self.tolerances[key]["tol_max_rel"]
        assert error <= allowed, f"{key}: relative error {error:.3g}, allowed {allowed:.3g}"
        if rms and allowed > ROUNDING:
            spread = ((got - expected).square().mean() / expected.square().mean()).sqrt().item()
            assert spread <= ROUNDING, f"{key}: relative root mean square {spread:.3g}, allowed {ROUNDING:.3g}"
        self.checked[key] = max(error, self.checked.get(key, 0.0))

    def finish(self):
        """Every output was compared; prints the count.

        With HYBRIDGEN_PARITY=DIR the account is written to DIR/<case>.json, for the table of docs/published.md.
        """
        if not self.checked:
            pytest.skip("no comparison ran before this one: it judges the whole file")
        said = f"{self.name}: {len(self.checked)} of {len(self.outs)} outputs compared"
        print(said)
        self._write()
        left = sorted(self.outs.keys() - self.checked.keys())
        assert not left, f"{said}; not compared: {', '.join(left[:20])} ({len(left)})"
        return len(self.checked)

    def _write(self):
        folder = os.environ.get("HYBRIDGEN_PARITY")
        if not folder or not shared_folder():  # the page tells of whole cases
            return
        worst = {k: [e, self.tolerances[k].get("tol_max_rel", 0.0)] for k, e in sorted(self.checked.items())}
        account = {"outputs": len(self.outs), "compared": worst}
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{self.name}.json").write_text(json.dumps(account, indent=1) + "\n")
