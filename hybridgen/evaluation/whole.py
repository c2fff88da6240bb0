"""A trained model evaluated whole: its tokenizer, its samples with and without the residual, what it costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hybridgen.config.registry import Registry
from hybridgen.data.base import Data
from hybridgen.evaluation.cost import macs, parameters
from hybridgen.evaluation.drawing import draw_samples
from hybridgen.evaluation.evaluate import evaluate_samples
from hybridgen.evaluation.protocol import Figure, figure
from hybridgen.evaluation.reconstruction import evaluate_reconstruction
from hybridgen.evaluation.settings import Metrics
from hybridgen.evaluation.timing import seconds_per_sample
from hybridgen.generate.trained import Trained
from hybridgen.generate.write import requested
from hybridgen.runs.weights import model_hash
from hybridgen.system import distributed
from hybridgen.tokenizers.rebuild import perplexity, rebuild

TIMED = 100  # samples in a batch when a sample is timed
MOST = 10_000  # test samples that a tokenizer is evaluated on
Advance = Callable[[str, int, int], None]


def evaluate_model(
    trained: Trained, data: Data, settings: Metrics, *, registry: Registry | None = None,
    advance: Advance | None = None, discrete: bool = True,
) -> dict[str, Figure]:  # fmt: skip
    """All figures of a trained model; those of the same codes without the residual end in `_discrete`.

    `advance(what, done, of)` is told how drawing goes; without `discrete` those of the codes alone are left out. Of
    several processes that share a run all draw, and the first one judges: the others get no figures.
    """
    both = discrete and trained.model.residual_head is not None and trained.model.code_head is not None
    if not distributed.is_first():
        for suffix in ("", "_discrete") if both else ("",):
            _drawn(trained, settings, suffix, None)
        return {}
    facts = known_facts(trained)
    figures = evaluate_tokenizer(trained, data, settings, facts)
    figures |= _evaluate_drawn(trained, data, settings, facts, "", registry, advance)
    if both:
        figures |= _evaluate_drawn(trained, data, settings, facts, "_discrete", registry, advance)
    return figures | costs(trained, facts)


def known_facts(trained: Trained) -> dict[str, Any]:
    """What every protocol says of the model and the machine."""
    device = trained.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "data": trained.config["data"]["card"],
        "model": model_hash(trained.path),
        "weights": trained.about.get("weights", "ema"),
        "precision": "fp32",
        "device": name,
    }


def evaluate_tokenizer(trained: Trained, data: Data, settings: Metrics, facts: dict[str, Any]) -> dict[str, Figure]:
    """PSNR (and LPIPS where its weights are at hand) on the test split, residual share, perplexities."""
    split, tokenizer, medium = data.split("test"), trained.model.tokenizer, data.medium
    stored = split.stored(torch.arange(min(len(split), MOST)))
    x = medium.restore(stored)
    parts = [rebuild(tokenizer, part.to(trained.device)) for part in x.split(settings.batch)]
    full = torch.cat([medium.store(part.full).cpu() for part in parts])
    coarse = [medium.store(part.discrete).cpu() for part in parts if part.discrete is not None]
    measured = {}
    if coarse:
        weights = [len(part.full) / len(x) for part in parts]
        measured["residual_share"] = sum(w * part.residual_share for w, part in zip(weights, parts, strict=True))
        for s in range(len(tokenizer.spec.scales)):
            codes = torch.cat([part.tokens.codes[s].cpu() for part in parts])
            measured[f"perplexity/{s}"] = perplexity(codes, tokenizer.spec.vocab)
    protocol = {**facts, "split": "test", "data_hash": data.fingerprint()}
    perceptual = None
    if settings.lpips is not None:
        from hybridgen.evaluation.perceptual import Perceptual  # late: importing lpips takes seconds

        perceptual = Perceptual(settings.lpips, device=trained.device)
    discrete = torch.cat(coarse) if coarse else None
    return evaluate_reconstruction(stored, discrete, full, medium, protocol, measured=measured, perceptual=perceptual)


def costs(trained: Trained, facts: dict[str, Any]) -> dict[str, Figure]:
    """Parameters, multiply-accumulates and seconds per sample, decoding included."""
    counted = {"kind": "counted", "model": facts["model"]}
    named = parameters(trained.model)
    figures = {f"parameters/{k}": figure(v, {**counted, "metric": f"parameters of {k}"}) for k, v in named.items()}
    with _at_rest(trained.model):
        products = macs(lambda: trained.sample(**requested(trained.asked(count=1)), batch=1))
    drawing = {**counted, "sampler": trained.config["sampler"], "metric": "multiply-accumulates per sample"}
    figures["macs"] = figure(products, drawing)
    said = {key: facts[key] for key in ("model", "precision", "device")} | {"sampler": trained.config["sampler"]}
    asked = trained.asked(count=TIMED)
    return figures | {
        "seconds_per_sample": seconds_per_sample(lambda n: trained.sample(**requested(asked[:n]), batch=n), TIMED, said)
    }


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """No weight asks for a gradient: torch's counter stumbles over a view of one that does, even where none is kept."""
    learning = [p for p in model.parameters() if p.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


def _evaluate_drawn(
    trained: Trained, data: Data, settings: Metrics, facts: dict[str, Any], suffix: str,
    registry: Registry | None, advance: Advance | None,
) -> dict[str, Figure]:  # fmt: skip
    stored, labels = _drawn(trained, settings, suffix, advance)
    seeds = f"{settings.seed}-{settings.seed + settings.samples - 1}"
    protocol = {**facts, "sampler": {**trained.config["sampler"], **_changed(suffix)}, "seeds": seeds}
    figures = evaluate_samples(stored, labels, data, settings, protocol, registry=registry, device=trained.device)
    own = {name: value for name, value in figures.items() if not ((suffix and "_real" in name) or "floor" in name)}
    shared = {} if suffix else {name: value for name, value in figures.items() if name not in own}
    return {f"{name}{suffix}": value for name, value in own.items()} | shared


def _drawn(trained: Trained, settings: Metrics, suffix: str, advance: Advance | None) -> tuple[Tensor, Tensor | None]:
    """Samples and their labels; those of a suffix are drawn without the residual."""
    what = "codes alone" if suffix else "samples"
    told = None if advance is None else lambda done: advance(what, done, settings.samples)
    return draw_samples(trained, settings.samples, settings.seed, settings.batch, told, **_changed(suffix))


def _changed(suffix: str) -> dict[str, int]:
    return {"head_steps": 0} if suffix else {}
