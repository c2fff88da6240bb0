"""The judge: as good as its card says, trained without sight of the test pictures, found by what it was made for."""

import json

import pytest
import torch
from safetensors.torch import save_file

from hybridgen.cli import main
from hybridgen.data.base import Data, MemorySplit
from hybridgen.data.embedded import Embedded
from hybridgen.evaluation.evaluate import check_metrics
from hybridgen.evaluation.judge import FEATURES, Judge, find_judge, read_judge, write_judge
from hybridgen.evaluation.judge_training import JudgeTraining, accuracy, train_judge
from hybridgen.evaluation.settings import Metrics
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec


class Stripes(Data):
    """Upright and lying stripes, in noise; says how often each split was asked for."""

    def __init__(self):
        self.asked = []

    spec = DataSpec(1, (8, 8), ("upright", "lying"))

    medium = ImageMedium(channels=1, size=(8, 8))

    def split(self, split):
        self.asked.append(split)
        count = {"train": 200, "valid": 40, "test": 40}[split]
        rng = torch.Generator().manual_seed(count + len(split))
        labels = torch.randint(0, 2, (count,), generator=rng)
        upright = (torch.arange(8) % 4 < 2).float().expand(8, 8) * 160
        x = torch.where(labels.view(-1, 1, 1, 1) == 0, upright, upright.T)
        noise = 20 * torch.randn(x.shape, generator=rng)
        return MemorySplit((x + noise).clamp(0, 255).byte(), label=labels)

    def fingerprint(self):
        return "stripes"


@pytest.mark.parametrize(("name", "least"), [("fashion28", 0.89), ("emoji32", 0.65)])
def test_the_shipped_judges(name, least):
    """They read the embedded test pictures; the card's figure is of the set it was trained on, to a few per cent."""
    data = Embedded(name=name)
    trained = find_judge(data)
    reached = accuracy(trained.net, data.split("test"))
    assert reached >= least
    assert reached == pytest.approx(trained.card.accuracy_test, abs=0.03)
    assert trained.card.command.startswith("hybridgen judge ")
    assert not any(p.requires_grad for p in trained.net.parameters())


def test_forward():
    """Features and logits of bytes, alone or in a batch alike."""
    net = find_judge(Embedded()).net
    x = Embedded().split("test").x[:8]
    features, logits = net(x)
    assert tuple(features.shape) == (8, FEATURES)
    assert tuple(logits.shape) == (8, 10)
    torch.testing.assert_close(net(x[3:4])[0], features[3:4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(40,), (8, 8), (4, 8, 8)])
def test_any_number_of_dimensions(size):
    net = Judge(DataSpec(2, size, ("a", "b", "c"))).eval()
    x = torch.randint(0, 256, (3, 2, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert tuple(net(x)[1].shape) == (3, 3)


def test_training_never_peeks():
    """It learns; asks for the test pictures once, last; and the same seed gives the same weights to the bit."""
    data = Stripes()
    how = JudgeTraining(epochs=3, batch=20, lr=0.05, flip=False, shift=1)
    told, state = [], torch.get_rng_state()
    net, card = train_judge(data, "stripes", "command", how, lambda epoch, reached: told.append((epoch, reached)))
    assert torch.equal(torch.get_rng_state(), state)
    assert data.asked == ["train", "valid", "test"]
    assert [epoch for epoch, _ in told] == [0, 1, 2]
    assert card.accuracy_valid == max(reached for _, reached in told)
    assert card.accuracy_test > 0.95
    again = train_judge(Stripes(), "stripes", "command", how)[0]
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_round_trip(tmp_path):
    net, card = train_judge(Stripes(), "stripes", "a command", JudgeTraining(epochs=1, batch=50))
    file = tmp_path / "below" / "stripes.safetensors"
    write_judge(file, net, card)
    trained = find_judge(Stripes(), str(file))
    assert trained.card == card
    assert trained.hash == read_judge(file).hash
    x = Stripes().split("test").x
    assert torch.equal(trained.net(x)[1], net(x)[1])
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_no_judge_for_these_data():
    """Distances are then over features that need none, and it is said how to train one."""
    assert find_judge(Stripes()) is None
    notes = check_metrics(Stripes(), Metrics(which=("kid", "accuracy"), samples=30))
    assert any("hybridgen judge DATA" in note for note in notes)


def test_a_judge_that_does_not_fit_is_said(monkeypatch):
    """Other images of the same shape and class names: real ones are recognised no better than by chance."""

    class Noise(Embedded):
        def split(self, name):
            whole = super().split(name)
            return MemorySplit(whole.x.roll(1, 0), label=whole.labels)

    assert check_metrics(Embedded(), Metrics(which=("kid",))) == []
    (note,) = check_metrics(Noise(), Metrics(which=("kid",)))
    assert "does not fit these data" in note


def test_a_judge_of_other_data(tmp_path):
    net, card = train_judge(Stripes(), "stripes", "", JudgeTraining(epochs=1, batch=50))
    write_judge(tmp_path / "stripes.safetensors", net, card)
    with pytest.raises(UserError, match="made for 1 x 8x8, the data are 1 x 28x28"):
        find_judge(Embedded(), str(tmp_path / "stripes.safetensors"))


def test_other_classes_of_the_same_shape_get_no_judge():
    class Renamed(Embedded):
        @property
        def spec(self):
            return DataSpec(1, (28, 28), tuple("abcdefghij"))

    assert find_judge(Renamed()) is None


def test_files_that_are_no_judge(tmp_path):
    file = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="no such file"):
        read_judge(file)
    save_file({"w": torch.zeros(2)}, file)
    with pytest.raises(UserError, match="not a judge"):
        read_judge(file)
    save_file({"w": torch.zeros(2)}, file, metadata={"format": "hybridgen.judge.1", "card": json.dumps({"size": [2]})})
    with pytest.raises(UserError, match="card is damaged"):
        read_judge(file)


def test_data_without_classes():
    class Flat(Stripes):
        spec = DataSpec(1, (8, 8), ())

    with pytest.raises(UserError, match="these data have 0"):
        train_judge(Flat(), "flat", "", JudgeTraining(epochs=1))


def test_more_in_a_batch_than_there_are():
    with pytest.raises(UserError, match="fewer than one batch of 1000"):
        train_judge(Stripes(), "stripes", "", JudgeTraining(epochs=1, batch=1000))


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    """`hybridgen judge` writes a file that is then found, and says both accuracies."""
    out = tmp_path / "mine.safetensors"
    assert main(["judge", "emoji32", "--epochs", "1", "--lr", "0.05", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert read_judge(out).card.accuracy_test == said["accuracy_test"]
    assert said["command"] == "hybridgen judge emoji32 --epochs 1 --batch 128 --lr 0.05 --shift 0 --seed 0"
    assert main(["judge", "emojis", "--epochs", "1"]) == 2
    assert "Did you mean 'emoji32'?" in capsys.readouterr().err
