"""Each family's sampling twice: by the official classes and by ours, on the same weights."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from official import module, randomise
from safetensors.torch import load_file
from torch import Tensor, nn

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler
from hybridgen.config.compose import compose
from hybridgen.diffusion.sde import SDE
from hybridgen.diffusion.solvers import DDPM
from hybridgen.model import HybridModel
from hybridgen.published.families import recognise
from hybridgen.published.importer import filled, match
from hybridgen.published.mar import KEYS as MAR
from hybridgen.samplers.sampler import Sampler

ROOT = Path(__file__).resolve().parents[1]
LABEL, CLASSES = 3, 10

Run = Callable[[bool], Tensor]
"""A picture, or a latent; with True by choices that draws cannot step: the likeliest code."""


@dataclass
class Pair:
    """The same drawing by two codes."""

    theirs: Run
    ours: Run
    rounding: float = 1e-4  # of the outputs' largest value


def refs() -> Path:
    """The folder of the tiny cases."""
    return Path(os.environ.get("HYBRIDGEN_SHARED", ROOT.parent / "shared")) / "refs"


def case(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The official constructor arguments of a tiny case, and its weights."""
    config = json.loads((refs() / name / "config.json").read_text())["config"]
    return config, load_file(refs() / name / "weights.safetensors")


def our_case(name: str, *others: str) -> tuple[HybridModel, Sampler]:
    """Our model with the weights of these cases, through the import that users call, and its sampler."""
    composed = compose(str(ROOT / f"tests/parity/cases/{name}.yaml"), [])
    files = [str(refs() / part / "weights.safetensors") for part in (name, *others)]
    return filled(composed, match(composed, files)).eval(), assemble_sampler(composed)


def our_published(name: str, *officials: nn.Module) -> tuple[HybridModel, Sampler]:
    """Our model of a published preset with the weights of official modules."""
    composed = compose(f"published/{name}", [])
    model = assemble_model(composed, assemble_data(composed).spec)
    for official in officials:
        family, named = recognise(official.state_dict()) or (MAR, official.state_dict())  # a head alone has no family
        model.load_state_dict(family.apply(named).tensors, strict=False)
    return model.eval(), assemble_sampler(composed)


def pictures(model: HybridModel, usual: Sampler, sure: Sampler, batch: dict[str, Tensor]) -> Run:
    """What users call."""
    return lambda fixed: model.sample(model.conditioner(batch, None), [0], sure if fixed else usual)


def loaded(official: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """The official class with the weights of a case."""
    official.load_state_dict(weights)
    return official.eval()


@contextmanager
def replaced(name: str, attribute: str, **values: Any) -> Iterator[None]:
    """A class of the official code with arguments that its caller has written into the code."""
    made = getattr(module(name), attribute)
    with patch.object(module(name), attribute, lambda *a, **k: made(*a, **{**k, **values})):
        yield


def label() -> dict[str, Tensor]:
    """The condition of all that are asked for a class."""
    return {"label": torch.tensor([LABEL])}


def var() -> Pair:
    """Greedy where compared; top-k 40 and top-p 0.9 where timed."""
    (about, weights), (vq_about, vq_weights) = case("var"), case("var_vqvae")
    small = {"ch_mult": [2, 1, 1], "num_res_blocks": 1}
    with replaced("models.vqvae", "Encoder", **small), replaced("models.vqvae", "Decoder", **small):
        tokenizer = loaded(module("models.vqvae").VQVAE(**vq_about), vq_weights)
    official = loaded(module("models.var").VAR(vae_local=tokenizer, **about), weights)
    model, sampler = our_case("var", "var_vqvae")
    return var_pair(official, model, sampler, top_k=40, top_p=0.9)


def var_d16() -> Pair:
    """VAR-d16 at full size, random weights, as its evaluation samples."""
    torch.manual_seed(0)
    tokenizer = randomise(module("models.vqvae").VQVAE(4096, 32, 160))
    shape = {"num_classes": 1000, "depth": 16, "embed_dim": 1024, "num_heads": 16, "attn_l2_norm": True}
    official = randomise(module("models.var").VAR(tokenizer, **shape, flash_if_available=False))
    model, sampler = our_published("var_d16", tokenizer, official)
    return var_pair(official, model, sampler, top_k=900, top_p=0.96)


def var_pair(official: Any, model: HybridModel, sampler: Sampler, top_k: int, top_p: float) -> Pair:
    """Guidance of 1.5 in VAR's count is 2.5 in ours."""
    usual = replace(sampler, guidance=2.5, top_k=top_k, top_p=top_p)
    sure = replace(usual, temperature=0.0, top_k=0, top_p=1.0)

    def theirs(fixed: bool) -> Tensor:
        k, p = (1, 0.0) if fixed else (top_k, top_p)
        image = official.autoregressive_infer_cfg(1, torch.tensor([LABEL]), cfg=1.5, top_k=k, top_p=p)
        return image * 2 - 1

    return Pair(theirs, pictures(model, usual, sure, label()), 1e-3)


def hart() -> Pair:
    """By text, with the residual in 8 steps; smoothed as its script samples, where timed."""
    (about, weights), (vq_about, vq_weights) = case("hart_t2i"), case("hart_tokenizer")
    holder, given = "hart.modules.models", load_file(refs() / "hart_t2i" / "io.safetensors")
    autoencoders = module(f"{holder}.autoencoder.hart_autoencoder")
    configured = module(f"{holder}.autoencoder.configuration").HARTAutoEncoderConfig(**vq_about)
    tokenizer = SimpleNamespace(vae=loaded(autoencoders.HARTAutoEncoder(configured), vq_weights))
    transformers = module(f"{holder}.transformer.hart_transformer_t2i")
    with patch.object(transformers, "HARTAutoEncoderWithDisc", SimpleNamespace(from_pretrained=lambda _: tokenizer)):
        config = module(f"{holder}.transformer.configuration").HARTForT2IConfig(**about)
        official = loaded(transformers.HARTForT2I(config), weights)
    context, mask, places = (
        given[f"in.gen.{name}"][:1] for name in ("context", "context_mask", "context_position_ids")
    )

    def theirs(fixed: bool) -> Tensor:
        where = {"context_position_ids": places, "context_mask": mask}
        how = {"top_p": 1e-3, "more_smooth": False} if fixed else {"top_p": 0.0, "more_smooth": True}
        return official.autoregressive_infer_cfg(1, context, cfg=4.5, **how, **where) * 2 - 1

    model, sampler = our_case("hart_t2i", "hart_tokenizer")
    ratio = [*(j / 7 for j in range(7)), 6 / 7]  # the last scale keeps that of the one before
    usual = replace(
        sampler,
        guidance=[1 + 4.5 * r for r in ratio],
        mix=[max(0.27 * (1 - 0.95 * r), 0.005) for r in ratio],
        mix_gain=[1 + r for r in ratio],
    )
    sure = replace(usual, temperature=0.0, mix=0.0)
    return Pair(theirs, pictures(model, usual, sure, {"text": context, "text_mask": mask}), 1e-3)


def mar() -> Pair:
    """64 positions in 5 sets of 10 steps, guided; latents, for the tokenizer is a case of its own."""
    about, weights = case("mar")
    normed = partial(nn.LayerNorm, eps=about.pop("norm_eps"))
    official = loaded(module("models.mar").MAR(**about, norm_layer=normed), weights)
    model, sampler = our_case("mar")
    chosen = replace(sampler, sets=5, ramp="known", guidance=3.0, head_steps=10, solver=DDPM())

    @torch.no_grad()
    def theirs(fixed: bool) -> Tensor:
        latent = official.sample_tokens(1, num_iter=5, cfg=3.0, labels=torch.tensor([LABEL]))
        return model.tokenizer.decode(latent)

    return Pair(theirs, pictures(model, chosen, chosen, label()))


def mar_head() -> Pair:
    """MAR-B's head: 64 rows, guided, 100 steps."""
    head = module("models.diffloss").DiffLoss(16, 768, 6, 1024, "100")
    official = randomise(head)
    model, _ = our_published("mar_b", nn.ModuleDict({"diffloss": official}))
    rows, ours = torch.randn(128, 768, generator=torch.Generator().manual_seed(0)), model.residual_head

    @torch.no_grad()
    def drawn(fixed: bool) -> Tensor:
        noise = torch.randn(1, *ours.noise_shape(64, DDPM(), 100))
        return ours.draw(rows.unflatten(0, (2, 64)), (8, 8), noise, DDPM(), 100, 2.9)[0]

    @torch.no_grad()
    def theirs(fixed: bool) -> Tensor:
        return official.sample(rows, 1.0, 2.9)[:64]

    return Pair(theirs, drawn)


def llamagen() -> Pair:
    """64 codes one by one, then the picture."""
    (about, weights), (vq_about, vq_weights) = case("llamagen_c2i"), case("llamagen_vq")
    gpt, vq = module("autoregressive.models.gpt"), module("tokenizer.tokenizer_image.vq_model")
    generate = module("autoregressive.models.generate").generate
    official = loaded(gpt.Transformer(gpt.ModelArgs(**about)), weights)
    small = {"ch": 32, "num_res_blocks": 1}
    with replaced(vq.__name__, "Encoder", **small), replaced(vq.__name__, "Decoder", **small):
        tokenizer = loaded(vq.VQModel(vq.ModelArgs(**vq_about)), vq_weights)
    model, sampler = our_case("llamagen_c2i", "llamagen_vq")
    usual = replace(sampler, guidance=2.0, temperature=0.9, top_k=40, top_p=0.9)
    sure = replace(usual, temperature=0.0, top_k=0, top_p=1.0)

    @torch.no_grad()
    def theirs(fixed: bool) -> Tensor:
        how = (
            {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if fixed else {"temperature": 0.9, "top_k": 40, "top_p": 0.9}
        )
        codes = generate(official, torch.tensor([LABEL]), 64, cfg_scale=2.0, sample_logits=not fixed, **how)
        return tokenizer.decode_code(codes, [1, vq_about["codebook_embed_dim"], 8, 8]).clamp(-1, 1)

    return Pair(theirs, pictures(model, usual, sure, label()))


def guided_noise() -> tuple[Tensor, dict[str, Any]]:
    """Start and condition as the official scripts of whole latents make them."""
    z = torch.randn(1, 4, 8, 8)
    return torch.cat([z, z]), {"y": torch.tensor([LABEL, CLASSES]), "cfg_scale": 4.0}


def dit() -> Pair:
    """10 steps of DDPM, guided."""
    about, weights = case("dit")
    official, diffusion = loaded(module("models").DiT(**about), weights), module("diffusion").create_diffusion("10")
    model, sampler = our_case("dit")

    def theirs(fixed: bool) -> Tensor:
        z, how = guided_noise()
        return diffusion.p_sample_loop(
            official.forward_with_cfg, z.shape, z, clip_denoised=False, model_kwargs=how, device="cpu"
        )[:1]

    return Pair(theirs, pictures(model, sampler, sampler, label()))


def sit() -> Pair:
    """10 steps of its stochastic equation, guided."""
    about, weights = case("sit")
    transport = module("transport")
    official = loaded(module("models").SiT(**about), weights)
    draw = transport.Sampler(transport.create_transport("Linear", "velocity")).sample_sde(
        sampling_method="Euler", diffusion_form="sigma", last_step="Mean", last_step_size=0.04, num_steps=10
    )
    model, sampler = our_case("sit")
    chosen = replace(sampler, solver=SDE(rate="sigma", last="mean"), head_steps=10)

    @torch.no_grad()
    def theirs(fixed: bool) -> Tensor:
        z, how = guided_noise()
        return draw(z, official.forward_with_cfg, **how)[-1][:1]

    return Pair(theirs, pictures(model, chosen, chosen, label()))


FAMILIES: dict[str, tuple[str, Callable[[], Pair]]] = {
    "HART, tiny": ("HART", hart),
    "VAR, tiny": ("VAR", var),
    "MAR, tiny": ("MAR", mar),
    "LlamaGen, tiny": ("LlamaGen", llamagen),
    "DiT, tiny": ("DiT", dit),
    "SiT, tiny": ("SiT", sit),
    "MAR-B's head": ("MAR", mar_head),
    "VAR-d16": ("VAR", var_d16),
}
"""What is timed: the checkout's folder and what makes the pair."""
