"""What each sample is asked to be: a class by number or name, or a prompt; checked, in turn, as the model takes it."""

import contextlib
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from hybridgen.conditioners.base import Conditioner
from hybridgen.conditioners.language_model import LanguageModel
from hybridgen.system.errors import UserError, unknown

Request = TypeVar("Request", int, str)


def in_turn(requests: Sequence[Request], count: int | None, kind: str) -> list[Request]:
    """What each of `count` samples is asked to be; None: one sample each. `kind`: what the requests are called.

    Raises:
        UserError: no sample at all.
    """
    number = len(requests) if count is None else whole_number(count, "count")
    if number < 1 or not requests:
        raise UserError(f"count: {number} samples of {len(requests)} {kind} are asked for; at least 1 of each")
    return [requests[i % len(requests)] for i in range(number)]


def whole_number(value: Any, name: str) -> int:
    """A whole number of Python, NumPy or torch as an int.

    Raises:
        UserError: it is a text, a truth value or no whole number: 1.9 is not class 1.
    """
    if not isinstance(value, bool | str):
        with contextlib.suppress(TypeError):
            return operator.index(value)
    raise UserError(f"{name}: {value!r} is not a whole number")


def whole_numbers(values: Any, name: str) -> list[int]:
    """Several of them.

    Raises:
        UserError: one of them is none, or a text stands for all: "35" does not mean 3 and 5.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserError(f"{name}: {values!r} is not a list of whole numbers; write [{values}]")
    return [whole_number(value, name) for value in values]


def check_kind(conditioner: Conditioner, labels: Sequence[int] | None, prompts: Sequence[str] | None) -> None:
    """A model that reads text is asked by prompt and any other one by class.

    Raises:
        UserError: it is asked in the other way, or in both; or a prompt is empty.
    """
    if isinstance(prompts, str):
        raise UserError(f"prompts: '{prompts[:40]}' is one text; a list of texts is needed: prompts=[…]")
    if labels is not None and prompts is not None:
        raise UserError("labels and prompts: a sample is asked for by one of them")
    if "text" in conditioner.reads and prompts is None:
        what = "a prompt is needed" if labels is None else "labels: it knows no classes"
        raise UserError(f"{what}: this model reads text\n  --prompt TEXT, or prompts=[…] in Python")
    if "text" not in conditioner.reads and prompts is not None:
        raise UserError("prompts: this model reads no text, but classes\n  --labels N,N,…, or labels=[…] in Python")
    empty = [i for i, prompt in enumerate(prompts or ()) if not prompt.strip()]
    if empty or (prompts is not None and not prompts):
        raise UserError(f"prompts: prompt {empty[0]} is empty" if empty else "prompts: none given")


def class_number(text: str, classes: Sequence[str]) -> int:
    """The number of a class, which is given by name or by number; where a class is called by a number, by name only.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    if text in classes:
        return [*classes].index(text)
    named_by_number = any(name.isdecimal() for name in classes)
    if text.isdecimal() and not named_by_number and int(text) < max(1, len(classes)):
        return int(text)
    raise UserError(unknown("class", text, [*classes] or ["0"], "--labels"))


def class_numbers(text: str, classes: Sequence[str]) -> list[int]:
    """The numbers of classes that a comma parts; the text as a whole may be the name of one, with commas in it."""
    names = [text] if text in classes else text.split(",")
    return [class_number(name.strip(), classes) for name in names]


def read_prompts(file: Path) -> list[str]:
    """A prompt a line; empty lines are skipped.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompts {file}: cannot be read ({error})") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"--prompts {file}: no prompt in it; write one a line")
    return prompts


def as_texts(prompts: Sequence[str], encoder: LanguageModel, conditioner: Conditioner) -> dict[str, Tensor]:
    """The batch that a conditioner reads: each distinct prompt is encoded once.

    Raises:
        UserError: the encoder's vectors are not those that the conditioner was trained on.
    """
    distinct = [*dict.fromkeys(prompts)]
    text, mask = encoder.encode(distinct)
    given, needed = tuple(text.shape[1:]), (conditioner.length, conditioner.text_features)
    if given != needed:
        raise UserError(
            f"text encoder {encoder.name}: gives {given[0]} vectors of {given[1]} numbers a prompt, and the model was "
            f"trained on {needed[0]} of {needed[1]}"
        )
    rows = torch.tensor([distinct.index(prompt) for prompt in prompts])
    return {"text": text[rows], "text_mask": mask[rows]}
