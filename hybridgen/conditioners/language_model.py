"""Prompts as vectors of a language model, which stands outside: loaded by name, never trained, never stored with ours.

Source: HART (arXiv:2410.10812), section 3.2: the last hidden state of a Qwen2 model, read behind a system prompt whose
own vectors are cut off again.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor

from hybridgen.system.errors import UserError

AT_ONCE = 16  # prompts that the language model reads together: a bound on its memory
FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model")  # of the hub's files: no pickles and no code


class LanguageModel:
    """A model of the transformers library with its tokenizer.

    Args:
        net: gives `last_hidden_state` for token ids and a mask, as an `AutoModel` does.
        tokenizer: gives `input_ids` for a text and knows its `pad_token_id`.
        length: P, tokens that a prompt is cut or padded to.
        system: text that is read before every prompt.
        name: where it came from, for the samples to say.
    """

    def __init__(self, net: Any, tokenizer: Any, length: int = 300, system: str = "", name: str = "") -> None:
        self.net, self.tokenizer, self.length, self.system, self.name = net, tokenizer, length, system, name

    @classmethod
    def load(
        cls, name: str, length: int = 300, system: str = "", features: int = 0, fetch: bool = False
    ) -> "LanguageModel":
        """A folder, or a name on the hub; safetensors only, and no code that comes with it.

        Args:
            name: what transformers' `from_pretrained` takes.
            length: P, tokens that a prompt is cut or padded to.
            system: text that is read before every prompt.
            features: F that its vectors must have; 0: any.
            fetch: download what is not on this machine.

        Raises:
            UserError: transformers is not installed; there is no such model, or one of another width; its files lack
                something.
        """
        try:
            from transformers import AutoConfig, AutoModel, AutoTokenizer
        except ImportError:
            raise UserError("prompts need the extra 'text': pip install 'hybridgen[text]'") from None
        folder, how = _folder(name, fetch), {"trust_remote_code": False, "local_files_only": True}
        with _told(name):
            config = AutoConfig.from_pretrained(folder, **how)
            _check(name, config, features)  # before gigabytes are read
            net, report = AutoModel.from_pretrained(
                folder, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **how
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **how)
        if absent := sorted(report["missing_keys"]):  # transformers would go on with random numbers in their place
            raise UserError(f"text encoder {name}: its files lack {', '.join(absent[:5])} ({len(absent)} in all)")
        if tokenizer.pad_token_id is None:
            raise UserError(f"text encoder {name}: its tokenizer names no padding token (pad_token)")
        return cls(net.eval(), tokenizer, length, system, name)

    def tokens(self, prompts: Sequence[str]) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
        """Token ids, padded on the right, and True where a token is; what is too long is cut, with a warning."""
        rows = [self._ids(prompt) for prompt in prompts]
        for prompt, row in zip(prompts, rows, strict=True):
            if (over := len(row) - self.length) > 0:
                warnings.warn(
                    f"prompt '{prompt[:40]}…' has {len(row)} tokens; the last {over} are cut, as the model reads "
                    f"{self.length}",
                    stacklevel=2,
                )
        pad = self.tokenizer.pad_token_id
        padded = [row[: self.length] + [pad] * (self.length - len(row)) for row in rows]
        ids = torch.tensor(padded, dtype=torch.long)
        return ids, ids != pad

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "B P F"], Bool[Tensor, "B P"]]:
        """The last hidden state of each token, behind the final norm, and which tokens are there."""
        ids, mask = self.tokens(prompts)
        before = torch.tensor(self._ids(self.system) if self.system else [], dtype=torch.long)[: self.length]
        hidden = []
        for few, there in zip(ids.split(AT_ONCE), mask.split(AT_ONCE), strict=True):
            start = before.expand(len(few), -1)
            whole, seen = torch.cat([start, few], 1), torch.cat([torch.ones_like(start).bool(), there], 1)
            read = self.net(whole.to(self.net.device), attention_mask=seen.long().to(self.net.device))
            hidden.append(read.last_hidden_state[:, start.shape[1] :].float().cpu())
        return torch.cat(hidden), mask

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])


def _folder(name: str, fetch: bool) -> str:
    """Where the files of a language model lie on this machine.

    Looking is not left to transformers' `local_files_only`: it asks the hub's library for one file at a time, and that
    goes out to the network before it looks (huggingface_hub 2.4, to learn what may be asking).
    """
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise UserError(
                f"text encoder {name}: no config.json in this folder\n"
                "  needed: a folder as transformers' save_pretrained writes it, of a model and its tokenizer"
            )
        return name
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, allow_patterns=[*FETCHED], local_files_only=not fetch)
    except Exception as error:  # a network fails in a hundred ways
        if fetch:
            raise UserError(f"text encoder {name}: no such folder, and not fetched ({_first_line(error)})") from None
        raise UserError(
            f"text encoder {name}: not on this machine, and nothing is fetched unasked\n"
            f"  --text-encoder {name} fetches it; --text-encoder DIR takes a folder"
        ) from None


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What is wrong with a language model's files as one `UserError`; what transformers would report is judged here."""
    reports = logging.getLogger("transformers.modeling_utils")
    silent, reports.disabled = reports.disabled, True
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"text encoder {name}: cannot be loaded ({_first_line(error)})") from None
    finally:
        reports.disabled = silent


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _check(name: str, config: Any, features: int) -> None:
    """A decoder alone, of the right width."""
    if config.is_encoder_decoder:
        raise UserError(
            f"text encoder {name}: {config.model_type} is an encoder with a decoder; models of one stack are read, "
            "such as Qwen2"
        )
    width = config.get_text_config().hidden_size
    if features and width != features:
        raise UserError(
            f"text encoder {name}: its vectors have {width} numbers, and the model was trained on {features} "
            "(model.conditioner.features): it is another encoder"
        )
