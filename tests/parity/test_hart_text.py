"""HART's text encoder: prompts to vectors through transformers, on a tiny Qwen2."""

import pytest
import torch
from reference import Case

from hybridgen.conditioners.language_model import LanguageModel

PAD = 0


@pytest.fixture(scope="module")
def case():
    return Case("hart_text")


class Words:
    """A word a token: 0 pads, 1 stands for what is not known."""

    pad_token_id = PAD

    def __init__(self, words):
        self.known = {word: i + 2 for i, word in enumerate(words)}

    def __call__(self, text):
        return {"input_ids": [self.known.get(word, 1) for word in text.split()]}


@pytest.fixture(scope="module")
def net(case, tmp_path_factory):
    """The tiny Qwen2, written as a folder and read as a user's would be."""
    transformers = pytest.importorskip("transformers")
    made = transformers.Qwen2Model(transformers.Qwen2Config(**case.config))
    made.load_state_dict(case.weights)
    folder = tmp_path_factory.mktemp("qwen2")
    made.save_pretrained(folder)
    return transformers.AutoModel.from_pretrained(folder, use_safetensors=True).eval()


def encoder(case, net, system=""):
    return LanguageModel(net, Words(case.about["words"]), case.about["max_length"], system)


@pytest.mark.parametrize(("name", "system"), [("plain", False), ("system", True)])
def test_prompts(case, net, name, system):
    model = encoder(case, net, case.about["system_prompt"] if system else "")
    with pytest.warns(UserWarning, match="has 12 tokens; the last 4 are cut, as the model reads 8"):
        tokens, mask = model.tokens(case.about["prompts"])
    case.check(f"{name}.tokens", tokens)
    case.check(f"{name}.mask", mask.long())
    case.check(f"{name}.position_ids", mask.cumsum(1) - 1)
    with pytest.warns(UserWarning, match="the last 4 are cut"):
        vectors, _ = model.encode(case.about["prompts"])
    case.check(f"{name}.context", vectors)


def test_the_whole_sequence(case, net):
    """What the language model sees behind the system prompt, and what it makes of it."""
    model, seen = encoder(case, net, case.about["system_prompt"]), {}
    hooks = [
        net.register_forward_hook(lambda _, args, kwargs, out: seen.update(ids=args[0], **kwargs), with_kwargs=True),
        net.layers[0].register_forward_pre_hook(
            lambda _, args, kwargs: seen.update(first=args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        ),
        net.norm.register_forward_hook(lambda _, args, out: seen.update(last=out)),
    ]
    with pytest.warns(UserWarning, match="the last 4 are cut"):
        model.encode(case.about["prompts"])
    for hook in hooks:
        hook.remove()
    mask = seen["attention_mask"]
    case.check("system.full_tokens", seen["ids"])
    case.check("system.system_tokens", seen["ids"][0, :-8])
    case.check("system.full_mask", mask)
    n = mask.shape[1]
    case.check("system.allowed", torch.ones(n, n).tril().bool() & mask[:, None].bool())
    case.check("system.full_hidden_first_layer_in", seen["first"])
    case.check("system.full_hidden_last", seen["last"])
    case.check("system.last_hidden_state", seen["last"])


def test_every_output_was_compared(case, net):
    case.finish()
