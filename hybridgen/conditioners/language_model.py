"""Prompts as vectors of a language model, which stands outside: loaded by name, never trained, never stored with ours.

Source: HART (arXiv:2410.10812), section 3.2: the last hidden state of a Qwen2 model, read behind a system prompt whose
own vectors are cut off again.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hybridgen.errors import UserError


class LanguageModel:
    """A model of the transformers library with its tokenizer.

    Args:
        net: gives `last_hidden_state` for token ids and a mask, as an `AutoModel` does.
        tokenizer: gives `input_ids` for a text and knows its `pad_token_id`.
        length: P, tokens that a prompt is cut or padded to.
        system: text that is read before every prompt.
    """

    def __init__(self, net: Any, tokenizer: Any, length: int = 300, system: str = "") -> None:
        self.net, self.tokenizer, self.length, self.system = net, tokenizer, length, system

    @classmethod
    def load(cls, name: str, length: int = 300, system: str = "") -> "LanguageModel":
        """A folder, or a name on the hub; safetensors only, and no code that comes with it.

        Raises:
            UserError: transformers is not installed, or there is no such model.
        """
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise UserError("prompts need the extra 'text': pip install 'hybridgen[text]'") from None
        try:
            net = AutoModel.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise UserError(f"language model {name}: cannot be loaded ({error})") from None
        return cls(net.eval(), tokenizer, length, system)

    def tokens(self, prompts: Sequence[str]) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
        """Token ids, padded on the right, and True where a token is; what is too long is cut, with a warning."""
        rows = [self._ids(prompt) for prompt in prompts]
        for prompt, row in zip(prompts, rows, strict=True):
            if len(row) > self.length:
                warnings.warn(
                    f"prompt '{prompt[:40]}…' has {len(row)} tokens and is cut to {self.length}", stacklevel=2
                )
        pad = self.tokenizer.pad_token_id
        padded = [row[: self.length] + [pad] * (self.length - len(row)) for row in rows]
        ids = torch.tensor(padded, dtype=torch.long)
        return ids, ids != pad

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "B P F"], Bool[Tensor, "B P"]]:
        """The last hidden state of each token, behind the final norm, and which tokens are there."""
        ids, mask = self.tokens(prompts)
        before = torch.tensor(self._ids(self.system) if self.system else [], dtype=torch.long)
        before = before[: self.length].expand(len(ids), -1)
        whole, there = torch.cat([before, ids], 1), torch.cat([torch.ones_like(before).bool(), mask], 1)
        hidden = self.net(whole, attention_mask=there.long()).last_hidden_state
        return hidden[:, before.shape[1] :].float(), mask

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])
