"""A trained model evaluated whole: its tokenizer, its samples with and without the residual, what it costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hybridgen.config.registry import Registry
from hybridgen.data.base import Data
from hybridgen.evaluation import cost, reconstruction, timing
from hybridgen.evaluation.cost import macs, parameters
from hybridgen.evaluation.drawing import draw_samples
from hybridgen.evaluation.evaluate import Evaluator
from hybridgen.evaluation.figure_spec import DISCRETE, FigureSpec, find_spec, without_residual
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
FIGURES = (*reconstruction.FIGURES, *cost.FIGURES, *timing.FIGURES)  # of every model, whatever its metrics
Advance = Callable[[str, int, int], None]


def evaluate_model(
    trained: Trained, data: Data, settings: Metrics, *, registry: Registry | None = None,
    advance: Advance | None = None, discrete: bool = True,
) -> dict[str, Figure]:  # fmt: skip
    """All figures of a trained model; those of the same codes without the residual end in `_discrete`.

    `advance(what, done, of)` is called as drawing proceeds; without `discrete` those of the codes alone are left out.
    Where several processes share a run, all of them draw and the first one measures: the others get no figures.
    """
    both = discrete and trained.model.residual_head is not None and trained.model.code_head is not None
    if not distributed.is_first():
        for suffix in ("", DISCRETE) if both else ("",):
            _drawn(trained, settings, suffix, None)
        return {}
    facts = known_facts(trained)
    figures = evaluate_tokenizer(trained, data, settings, facts)
    evaluator = Evaluator(data, settings, registry, trained.device)
    figures |= _evaluate_drawn(trained, evaluator, facts, "", advance)
    if both:
        figures |= _evaluate_drawn(trained, evaluator, facts, DISCRETE, advance)
    return figures | costs(trained, facts)


def known_facts(trained: Trained) -> dict[str, Any]:
    """The entries about the model and the machine that every protocol has."""
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
    full, coarse, codes, share = list[Tensor](), list[Tensor](), list[list[Tensor]](), 0.0
    for some in stored.split(settings.batch):
        part = rebuild(tokenizer, medium.restore(some).to(trained.device))
        full.append(medium.store(part.full).cpu())
        if part.discrete is not None:
            coarse.append(medium.store(part.discrete).cpu())
            codes.append([each.to(torch.int32).cpu() for each in part.tokens.codes])
            share += part.residual_share * len(some) / len(stored)
    measured = {}
    if coarse:
        measured["residual_share"] = share
        for s in range(len(tokenizer.spec.scales)):
            measured[f"perplexity/{s}"] = perplexity(torch.cat([each[s] for each in codes]), tokenizer.spec.vocab)
    protocol = {**facts, "split": "test", "data_hash": data.fingerprint()}
    perceptual = None
    if settings.lpips is not None:
        from hybridgen.evaluation.perceptual import Perceptual  # late: importing lpips takes seconds

        perceptual = Perceptual(settings.lpips, device=trained.device)
    discrete = torch.cat(coarse) if coarse else None
    whole = torch.cat(full)
    return evaluate_reconstruction(stored, discrete, whole, medium, protocol, measured=measured, perceptual=perceptual)


def costs(trained: Trained, facts: dict[str, Any]) -> dict[str, Figure]:
    """Parameters, multiply-accumulates and seconds per sample, decoding included."""
    counted = {"kind": "counted", "model": facts["model"]}
    figures = {}
    for part, count in parameters(trained.model).items():
        spec = find_spec(f"parameters/{part}", cost.FIGURES)
        figures[f"parameters/{part}"] = figure(count, {**counted, "metric": f"parameters of {part}"}, spec)
    with _at_rest(trained.model):
        products = macs(lambda: trained.sample(**requested(trained.asked(count=1)), batch=1))
    drawing = {**counted, "sampler": trained.config["sampler"], "metric": "multiply-accumulates per sample"}
    figures["macs"] = figure(products, drawing, find_spec("macs", cost.FIGURES))
    said = {key: facts[key] for key in ("model", "precision", "device")} | {"sampler": trained.config["sampler"]}
    asked = trained.asked(count=TIMED)
    return figures | {
        "seconds_per_sample": seconds_per_sample(lambda n: trained.sample(**requested(asked[:n]), batch=n), TIMED, said)
    }


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Within the block no weight requires a gradient: torch's counter fails on a view of one that does."""
    learning = [p for p in model.parameters() if p.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


def _evaluate_drawn(
    trained: Trained, evaluator: Evaluator, facts: dict[str, Any], suffix: str, advance: Advance | None
) -> dict[str, Figure]:
    """Figures of samples; those of a suffix but for the ones that no drawn sample changes."""
    settings = evaluator.settings
    stored, labels = _drawn(trained, settings, suffix, advance)
    seeds = f"{settings.seed}-{settings.seed + settings.samples - 1}"
    protocol = {**facts, "sampler": {**trained.config["sampler"], **_changed(suffix)}, "seeds": seeds}
    figures = evaluator.figures(stored, labels, protocol)
    if not suffix:
        return figures
    changed = {name: shown for name, shown in figures.items() if shown.spec is None or not shown.spec.real}
    return {f"{name}{suffix}": replace(shown, spec=_discrete(shown.spec)) for name, shown in changed.items()}


def _discrete(spec: FigureSpec | None) -> FigureSpec | None:
    return None if spec is None else without_residual(spec)


def _drawn(trained: Trained, settings: Metrics, suffix: str, advance: Advance | None) -> tuple[Tensor, Tensor | None]:
    """Samples and their labels; those of a suffix are drawn without the residual."""
    what = "codes alone" if suffix else "samples"
    told = None if advance is None else lambda done: advance(what, done, settings.samples)
    return draw_samples(trained, settings.samples, settings.seed, settings.batch, told, **_changed(suffix))


def _changed(suffix: str) -> dict[str, int]:
    return {"head_steps": 0} if suffix else {}
