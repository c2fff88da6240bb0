"""What the documentation says is run: the code of its how-to page, and every command that it shows."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hybridgen.cli import VERBS, module_name
from hybridgen.config.registry import Registry
from hybridgen.data.embedded import Embedded
from hybridgen.diffusion.solvers import Euler
from hybridgen.evaluation.evaluate import check_metrics, evaluate_samples
from hybridgen.evaluation.settings import Metrics
from hybridgen.nn.draws import Draws, keyed
from hybridgen.types import TokenSpec

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOW_TO = ROOT / "docs/how-to/add-a-component.md"
METRIC = ROOT / "docs/how-to/add-a-metric.md"
SHORT = ["train.tokenizer.steps=3", "train.generator.steps=3", "metrics.samples=128", "tracking.enabled=false"]


def blocks(page):
    """The titled code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', text, re.MULTILINE | re.DOTALL))


def commands(page):
    """The commands of a page that start with `make` or `hybridgen`, in code blocks or between backticks."""
    text = page.read_text(encoding="utf-8")
    fenced = "".join(re.findall(r"^```sh.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    shown = re.findall(r"^((?:make|hybridgen) .+)$", fenced, re.MULTILINE)
    shown += re.findall(r"^ {4}((?:make|hybridgen) .+)$", text, re.MULTILINE)
    shown += re.findall(r"`((?:make|hybridgen) [^`\n]+)`", text)
    return [shlex.split(line, comments=True) for line in shown]


COMMANDS = [command for page in PAGES for command in commands(page)]


def hybridgen(*arguments, cwd):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hybridgen.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, timeout=280
    )


def module_of(page, title, folder):
    """A code block of a page, imported from a file as a user would write it."""
    path = folder / title
    path.write_text(blocks(page)[title])
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def my_head(tmp_path_factory):
    """The class of the how-to page."""
    return module_of(HOW_TO, "my_head.py", tmp_path_factory.mktemp("component")).MyHead


def test_the_component_takes_at_most_40_lines():
    assert len(blocks(HOW_TO)["my_head.py"].splitlines()) <= 40


def test_the_component_learns_the_law_it_can_express(my_head):
    """On a normal target its loss reaches the entropy's floor, and its draws have the target's moments."""
    torch.manual_seed(0)
    head = my_head(TokenSpec((4,), 2, ((4,),), 0), width=3, inner=8)
    target = 5 + 2 * torch.randn(64, 4, 2, generator=keyed("target"))
    hidden = torch.ones(64, 4, 3)
    head.fit(target.flatten(0, 1))
    optimiser = torch.optim.Adam(head.parameters(), 0.03)
    for step in range(300):
        optimiser.zero_grad()
        loss = head.loss(target, hidden, (4,), Draws(step)).mean()
        loss.backward()
        optimiser.step()
    assert loss.item() == pytest.approx(0.5, abs=0.02)  # in units of the deviation, without the constant
    shape = head.noise_shape(4, Euler(), 8)
    noise = torch.randn(64, *shape, generator=keyed("noise"))
    drawn = head.draw(hidden, (4,), noise, Euler(), 8)
    assert drawn.mean().item() == pytest.approx(5, abs=0.3)
    assert drawn.std().item() == pytest.approx(2, abs=0.3)


def test_the_component_is_guided(my_head):
    """Guidance 1 reads the conditional rows alone; equal rows leave nothing to guide."""
    torch.manual_seed(0)
    head = my_head(TokenSpec((4,), 2, ((4,),), 0), width=3)
    hidden, null = torch.randn(2, 2, 4, 3, generator=keyed("hidden"))
    noise = torch.randn(2, 1, 4, 2, generator=keyed("noise"))
    plain = head.draw(hidden, (4,), noise, Euler(), 1)
    same = head.draw(torch.cat([hidden, hidden]), (4,), noise, Euler(), 1, guidance=3.0)
    torch.testing.assert_close(same, plain)
    assert not torch.allclose(head.draw(torch.cat([hidden, null]), (4,), noise, Euler(), 1, guidance=3.0), plain)


@pytest.mark.slow
def test_the_component_trains_and_reloads(tmp_path):
    """The page's own commands, with a few steps each."""
    page = blocks(HOW_TO)
    for name in ("my_head.py", "my_experiment.yaml"):
        (tmp_path / name).write_text(page[name])
    for line in page["commands"].splitlines():
        _, *arguments = shlex.split(line)
        extra = {"train": SHORT, "check": [], "sample": ["--count", "2"]}[arguments[0]]
        done = hybridgen(*arguments, *extra, cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    run = next((tmp_path / "runs/my_experiment").glob("*/model.safetensors")).parent
    assert list(run.rglob("*.png")), "sample draws pictures"
    refused = hybridgen("sample", "my_experiment", "--count", "1", cwd=tmp_path)
    assert refused.returncode == 2, "a stored run must not import a file on its own"
    assert "--registry" in refused.stderr


def test_the_metric_of_the_page(tmp_path):
    """Real samples are near real ones, blurred ones are not, and noise is further away still."""
    (tmp_path / "my_parts/metric").mkdir(parents=True)
    for title in ("edges.py", "edges.yaml"):
        (tmp_path / "my_parts/metric" / title).write_text(blocks(METRIC)[title])
    data = Embedded()
    x, labels = data.split("test").stored(torch.arange(300)), data.split("test").labels[:300]
    said = dict.fromkeys(("data", "model", "weights", "sampler", "seeds", "precision", "device"), "x")
    registry = Registry([tmp_path / "my_parts"])
    assert check_metrics(data, Metrics(which=("edges",)), registry) == []

    def edges(stored):
        found = evaluate_samples(stored, labels, data, Metrics(which=("edges",)), said, registry=registry)
        return {name: shown.value for name, shown in found.items()}

    blurred = torch.nn.functional.avg_pool2d(x.float(), 3, 1, 1).byte()
    noise = torch.randint(0, 256, x.shape, generator=keyed("noise"), dtype=torch.uint8)
    assert set(edges(x)) == {"edges", "edges_floor"}
    assert edges(x)["edges"] < 0.3 < edges(blurred)["edges"] < edges(noise)["edges"]


def test_commands_exist():
    """Every `make` target and every verb that a page names."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {c[1] for c in COMMANDS if c[0] == "make"} <= targets
    named = {c[1] for c in COMMANDS if c[0] == "hybridgen"}
    assert named, "no command found"
    assert {word for word in named if word.isalpha()} <= set(VERBS)
    assert [verb for verb in VERBS if not (ROOT / f"hybridgen/cli/{module_name(verb)}.py").is_file()] == []


SETTINGS = sorted(
    {
        tuple(c[2:])
        for c in COMMANDS
        if c[0] == "hybridgen"
        and c[1] in {"train", "check", "compose"}
        and re.fullmatch(r"[a-z_0-9/]+", "".join(c[2:3]))
    }
)


@pytest.mark.parametrize("arguments", SETTINGS, ids=" ".join)
def test_settings_compose(arguments):
    """Every experiment and override that a page names resolves."""
    done = hybridgen("compose", *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("title", ["by_hand.py", "head_alone.py"])
def test_the_code_on_parts_runs(title):
    """The blocks of the page on parts, and the shapes that their comments promise."""
    found = {}
    exec(compile(blocks(ROOT / "docs/how-to/use-parts-from-python.md")[title], title, "exec"), found)
    promised = {"by_hand.py": ("pictures", (2, 1, 28, 28)), "head_alone.py": ("drawn", (8, 16, 4))}
    name, shape = promised[title]
    assert found[name].shape == shape
    assert torch.isfinite(found[name]).all()
