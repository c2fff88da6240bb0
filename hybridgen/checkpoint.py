"""Weights and the config that made them, in one safetensors file: nothing is unpickled, nothing imported unasked."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hybridgen.asking import as_texts, check_kind, in_turn
from hybridgen.conditioners.language_model import LanguageModel
from hybridgen.errors import UserError, unknown
from hybridgen.files import atomic_path
from hybridgen.model import Given, HybridModel
from hybridgen.samplers.sampler import Sampler
from hybridgen.types import DataSpec

FORMAT = 1
_KEY = "hybridgen"


def save(path: Path, module: nn.Module, about: dict[str, Any]) -> None:
    """Writes the module's weights with `about` (JSON) in the file's metadata; whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={_KEY: json.dumps({"format": FORMAT, **about})})


def read_about(path: Path) -> dict[str, Any]:
    """What `save` was told.

    Raises:
        UserError: the file is absent, damaged, or was not written by `save`.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise UserError(f"{path}: these weights carry no hybridgen config; files of other projects need an importer")
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        stated = about.get("format")
    except (ValueError, RecursionError, AttributeError) as error:
        raise UserError(f"{path}: its hybridgen config is damaged ({error})") from error
    if stated != FORMAT:
        raise UserError(f"{path}: format {stated}, but this hybridgen reads format {FORMAT}")
    return about


def read_weights(path: Path, module: nn.Module, prefix: str = "", missing: str = "refuse") -> list[str]:
    """Loads weights into the module; names that the file lacks are returned when `missing` is "skip".

    Raises:
        UserError: names or shapes do not fit; the message lists them.
    """
    wanted, fitting, wrong = module.state_dict(), {}, []
    with _opened(path) as file:
        names = set(file.keys())
        for name in wanted:
            if prefix + name in names:
                value = file.get_tensor(prefix + name)
                if value.shape != wanted[name].shape:
                    wrong.append(f"{name}: expected {tuple(wanted[name].shape)}, found {tuple(value.shape)}")
                fitting[name] = value
    absent = sorted(wanted.keys() - fitting.keys())
    surplus = [] if prefix or missing == "skip" else sorted(names - wanted.keys())
    if missing == "skip":
        skipped = [line.split(":")[0] for line in wrong]
        fitting = {name: value for name, value in fitting.items() if name not in skipped}
        absent, wrong = absent + skipped, []
    elif absent or surplus or wrong:
        lists = _listed("missing", absent) + _listed("not known", surplus) + _listed("shape", wrong)
        raise UserError(f"{path}: weights do not fit the model{lists}")
    module.load_state_dict(fitting, strict=False)
    return absent


@dataclass
class Trained:
    """A model that can be asked for pictures.

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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def sample(
        self, labels: Sequence[int] | None = None, *, prompts: Sequence[str] | None = None,
        count: int | None = None, seed: int = 0,
        seeds: Iterable[int] | None = None, batch: int = 250, given: Given | None = None, **settings: Any,
    ) -> Float[Tensor, "N X *size"]:  # fmt: skip
        """Pictures in [-1, 1]; picture i has the seed `seed` + i and depends on it alone.

        Args:
            labels: class of each picture; None: all classes.
            prompts: text of each picture, for a model that reads text.
            count: how many pictures; labels or prompts are taken in turn.
            seed: of the first picture.
            seeds: of each picture, instead.
            batch: pictures drawn at once.
            given: a picture to complete, for all.
            settings: of the sampler, over the trained model's own, such as head_steps=4, guidance=3.0, solver="heun".
        """
        chosen = self.asked(labels, prompts, count)
        each = [int(s) for s in (range(seed, seed + len(chosen)) if seeds is None else seeds)]
        if len(each) != len(chosen):
            raise UserError(f"seeds: {len(each)} given for {len(chosen)} pictures")
        sampler = self.sampler_with(**settings)
        parts = []
        self.model.eval()
        for start in range(0, len(chosen), batch):
            cut = slice(start, start + batch)
            with torch.no_grad():
                condition = self.model.conditioner(self._batch(chosen[cut]), None)
            parts.append(self.model.sample(condition, each[cut], sampler, given).cpu())
        return torch.cat(parts)

    def sampler_with(self, **settings: Any) -> Sampler:
        """The model's own sampler with some settings changed, checked like those of an experiment."""
        if not settings:
            return self.sampler
        from hybridgen.assemble import assemble_sampler
        from hybridgen.config import from_dict

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
        """What each of `count` pictures is asked to be: classes or prompts, in turn.

        Raises:
            UserError: the model reads the other of the two, or there is nothing to draw.
        """
        check_kind(self.model.conditioner, labels, prompts)
        return self.labels(labels, count) if prompts is None else in_turn(prompts, count, "prompts")

    def labels(self, labels: Sequence[int] | None, count: int | None = None) -> list[int]:
        """The class of each of `count` pictures: the labels in turn, or all classes in turn.

        Raises:
            UserError: a class that the data have not, or no picture at all.
        """
        classes = max(1, len(self.data.classes))
        named = range(classes) if labels is None else [int(v) for v in labels]
        for label in named:
            if not 0 <= label < classes:
                known = [f"{i} ({name})" for i, name in enumerate(self.data.classes)] or ["0"]
                raise UserError(unknown("class", label, known, "labels"))
        return in_turn(named, count, "classes")

    def _batch(self, asked: list[int] | list[str]) -> dict[str, Tensor]:
        if isinstance(asked[0], int):
            return {"label": torch.tensor(asked)}
        prompts, encoder = [str(wish) for wish in asked], self.text_encoder or self.load_text_encoder()
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
    from hybridgen.assemble import assemble_model, assemble_sampler
    from hybridgen.config import from_dict

    file = Path(path) / "model.safetensors" if Path(path).is_dir() else Path(path)
    about = read_about(file)
    if about.get("kind") != "generator":
        raise UserError(f"{file}: holds a {about.get('kind')}, not a generator")
    try:
        config, spec = dict(about["config"]), about["data"]
        data = DataSpec(int(spec["channels"]), tuple(spec["size"]), tuple(spec["classes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: its hybridgen config is damaged ({error!r})") from error
    composed = from_dict(config, registries, name=str(file))
    model = assemble_model(composed, data)
    read_weights(file, model)
    return Trained(
        model.to(device).eval(), assemble_sampler(composed), composed.config, data, file, about, tuple(registries)
    )


def describe(kind: str, config: dict[str, Any], data: DataSpec, **more: Any) -> dict[str, Any]:
    """What a weights file says about itself."""
    from hybridgen.version import __version__

    return {"kind": kind, "hybridgen": __version__, "config": config, "data": asdict(data), **more}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open safetensors file; what is wrong with it as one `UserError`."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from error


def _listed(what: str, names: list[str]) -> str:
    return (
        ""
        if not names
        else f"\n  {what}: " + ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    )
