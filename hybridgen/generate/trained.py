"""A trained model that can be asked for samples, and how one is read from its file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.assemble import assemble_medium, assemble_model, assemble_sampler
from hybridgen.conditioners.language_model import LanguageModel
from hybridgen.config.compose import from_dict
from hybridgen.config.registry import Registry
from hybridgen.generate.requests import as_texts, check_kind, in_turn, whole_number, whole_numbers
from hybridgen.media.base import Medium
from hybridgen.model import Given, HybridModel
from hybridgen.runs.weights import read_about, read_weights
from hybridgen.samplers.sampler import Sampler
from hybridgen.system.errors import UserError, unknown
from hybridgen.types import Condition, DataSpec


class NotFiniteError(UserError):
    """A drawn sample holds NaN or infinity: the model's numbers have overflowed."""


@dataclass
class Trained:
    """A model that can be asked for samples.

    `model.sample(labels=[3, 5], seed=0, head_steps=8)` needs nothing else; one that reads text takes
    `model.sample(prompts=["a fox in the snow"], seed=0)`, with its text encoder on this machine or loaded before.
    """

    model: HybridModel
    sampler: Sampler
    config: dict[str, Any]
    data: DataSpec
    path: Path
    about: dict[str, Any]
    registries: tuple[Path, ...] = ()  # what the run named, so that its own parts are found again
    text_encoder: LanguageModel | None = None  # `load_text_encoder` brings it

    @cached_property
    def medium(self) -> Medium:
        """How its samples are stored, shown, written and read."""
        return assemble_medium(self.data, Registry(self.registries))

    @property
    def reads_text(self) -> bool:
        """Whether it is asked by prompts, not by classes."""
        return "text" in self.model.conditioner.reads

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def sample(
        self, labels: Sequence[int] | None = None, *, prompts: Sequence[str] | None = None,
        count: int | None = None, seed: int = 0,
        seeds: Iterable[int] | None = None, batch: int = 250, given: Given | None = None, **settings: Any,
    ) -> Float[Tensor, "N X *size"]:  # fmt: skip
        """Samples in [-1, 1]; sample i has the seed `seed` + i and depends on it alone.

        Args:
            labels: class of each sample; None: all classes.
            prompts: text of each sample, for a model that reads text.
            count: how many samples; labels or prompts are taken in turn.
            seed: of the first sample.
            seeds: of each sample, instead.
            batch: samples drawn at once.
            given: a sample to complete, for all.
            settings: of the sampler, over the trained model's own, such as head_steps=4, guidance=3.0, solver="heun".
        """
        chosen = self.asked(labels, prompts, count)
        first = whole_number(seed, "seed")
        each = [*range(first, first + len(chosen))] if seeds is None else whole_numbers(seeds, "seeds")
        if len(each) != len(chosen):
            raise UserError(f"seeds: {len(each)} given for {len(chosen)} samples")
        sampler = self.sampler_with(**settings)
        parts = []
        self.model.eval()
        for start in range(0, len(chosen), batch):
            cut = slice(start, start + batch)
            parts.append(self._drawn(self.condition(chosen[cut]), each[cut], sampler, given))
        return torch.cat(parts)

    @torch.no_grad()
    def condition(self, asked: list[int] | list[str]) -> Condition:
        """Classes or prompts as the model's condition, with its null."""
        return self.model.conditioner(self._batch(asked), None)

    def _drawn(
        self, condition: Condition, seeds: list[int], sampler: Sampler, given: Given | None
    ) -> Float[Tensor, "N X *size"]:
        """One batch; raises `NotFiniteError` where a sample is not finite."""
        about = "\n  its weights or its sampler settings (guidance, temperature, mix_gain) make the numbers overflow"
        try:
            x = self.model.sample(condition, seeds, sampler, given).cpu()
        except IndexError as error:  # a code drawn from probabilities that are NaN lies outside of the codebook
            raise NotFiniteError(f"{self.path}: the probabilities of the codes are NaN or infinite{about}") from error
        for seed, sample in zip(seeds, x, strict=True):
            wrong = int((~sample.isfinite()).sum())
            if wrong:
                raise NotFiniteError(
                    f"{self.path}: the sample of seed {seed} has {wrong} of {sample.numel()} values that are NaN or"
                    f" infinite{about}"
                )
        return x

    def sampler_with(self, **settings: Any) -> Sampler:
        """The model's own sampler with some settings changed, checked like those of an experiment."""
        if not settings:
            return self.sampler
        changed = {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()}
        return assemble_sampler(
            from_dict({**self.config, "sampler": {**self.config["sampler"], **changed}}, self.registries)
        )

    def load_text_encoder(
        self, name: str | None = None, system: str | None = None, *, fetch: bool = False
    ) -> LanguageModel:
        """Takes up the language model that prompts go through from now on, and gives it.

        Args:
            name: a folder, or a name on the hub; None: the one that the model was trained with.
            system: text that is read before every prompt; None: the one that the model was trained with.
            fetch: download what is not on this machine.

        Raises:
            UserError: it cannot be loaded, or its vectors are of another width; the model reads no text.
        """
        told = self.model.conditioner
        check_kind(told, None, ["any"])
        if not told.text_features:
            raise UserError("text encoder: this model reads text itself and takes none")
        name, system = name or told.encoder, told.system if system is None else system
        if not name:
            raise UserError(
                "prompts: the model does not say which text encoder it was trained with (model.conditioner.encoder)\n"
                "  --text-encoder DIR or NAME, or load_text_encoder(…) in Python"
            )
        self.text_encoder = LanguageModel.load(name, told.length, system, told.text_features, fetch)
        self.text_encoder.net.to(self.device)
        return self.text_encoder

    def asked(
        self, labels: Sequence[int] | None = None, prompts: Sequence[str] | None = None, count: int | None = None
    ) -> list[int] | list[str]:
        """What each of `count` samples is asked to be: classes or prompts, in turn.

        Where nothing is asked, all classes in turn; of a model that reads text, captions of its test data.

        Raises:
            UserError: the model reads the other of the two, or there is nothing to draw.
        """
        if labels is None and prompts is None and self.reads_text:
            prompts = self.about.get("prompts")
        check_kind(self.model.conditioner, labels, prompts)
        return self.labels(labels, count) if prompts is None else in_turn(prompts, count, "prompts")

    def labels(self, labels: Sequence[int] | None, count: int | None = None) -> list[int]:
        """The class of each of `count` samples: the labels in turn, or all classes in turn.

        Raises:
            UserError: a class that the data have not, or no sample at all.
        """
        classes = max(1, len(self.data.classes))
        named = range(classes) if labels is None else whole_numbers(labels, "labels")
        for label in named:
            if not 0 <= label < classes:
                known = [f"{i} ({name})" for i, name in enumerate(self.data.classes)] or ["0"]
                raise UserError(unknown("class", label, known, "labels"))
        return in_turn(named, count, "classes")

    def _batch(self, asked: list[int] | list[str]) -> dict[str, Tensor]:
        if isinstance(asked[0], int):
            return {"label": torch.tensor(asked)}
        prompts = [str(request) for request in asked]
        if not self.model.conditioner.text_features:
            return self.model.conditioner.columns(prompts)
        encoder = self.text_encoder or self.load_text_encoder()
        return as_texts(prompts, encoder, self.model.conditioner)


def load(path: str | Path, device: str = "cpu", registries: Sequence[Path] = ()) -> Trained:
    """The model of a run folder or a model.safetensors file, with averaged weights, ready to sample.

    Args:
        path: a file that training wrote, or the folder it lies in.
        device: where to put it.
        registries: folders of cards, or class files, that the run named when it was trained; nothing else is imported.

    Raises:
        UserError: the file is absent, damaged, or needs parts that were not named.
    """
    file = Path(path) / "model.safetensors" if Path(path).is_dir() else Path(path)
    about = read_about(file)
    if about.get("kind") != "generator":
        raise UserError(f"{file}: holds a {about.get('kind')}, not a generator")
    try:
        config, spec = dict(about["config"]), about["data"]
        rates = tuple(spec.get("rates", ()))
        looks = int(spec["channels"]), tuple(spec["size"]), tuple(spec["classes"])
        data = DataSpec(*looks, medium=str(spec.get("medium", "image")), rates=rates)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: its hybridgen config is damaged ({error!r})") from error
    composed = from_dict(config, registries, name=str(file))
    model = assemble_model(composed, data)
    read_weights(file, model)
    return Trained(
        model.to(device).eval(), assemble_sampler(composed), composed.config, data, file, about, tuple(registries)
    )
