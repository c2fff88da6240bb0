"""The house rules that a machine can check: how long things are, what is never written, what a command may import."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "hybridgen").rglob("*.py"))
CODE = [*PACKAGE, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.yaml"))
CORE = [p for p in PACKAGE if "published" not in p.relative_to(ROOT).parts]

SYSTEMS = "HART|VAR|MAR|DiT|SiT|MaskGIT|LlamaGen|FlowAR|GIVT|VibeVoice|DiTAR|xAR|NOVA|DiSA"
NAMES = frozenset(SYSTEMS.lower().split("|"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def at(path, node):
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def found(paths, test):
    """file:line of each node that fails a rule; empty when the rule holds."""
    return [at(path, node) for path in paths for node in ast.walk(tree(path)) if test(path, node)]


def dotted(node):
    """`torch.nn.init` of such an expression; empty for anything else."""
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def imported(node):
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def documented(node):
    """The statements of a function or class after its docstring."""
    return node.body[1:] if ast.get_docstring(node) is not None else node.body


def test_files_are_short():
    long = {str(p.relative_to(ROOT)): n for p in CODE if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long, "one idea a file, at most 400 lines"


def test_functions_are_short():
    def too_long(_, node):
        body = documented(node) if isinstance(node, FUNCTION) else []
        return bool(body) and body[-1].end_lineno - body[0].lineno >= 40

    assert found(PACKAGE, too_long) == [], "a function's body has at most 40 lines"


def test_constructors_are_no_switchboards():
    """Options that vary together are a nested slot (docs/decisions/0010)."""

    def crowded(_, node):
        given = node.args if isinstance(node, ast.FunctionDef) and node.name == "__init__" else None
        return given is not None and len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - 1 > 16

    assert found(PACKAGE, crowded) == [], "a constructor has at most 16 parameters"


def test_public_code_is_documented():
    def silent(_, node):
        return isinstance(node, FUNCTION | ast.ClassDef) and node.name[0] != "_" and ast.get_docstring(node) is None

    def top_level(path, node):
        return silent(path, node) and node in tree(path).body

    assert found(PACKAGE, top_level) == []
    assert [str(p) for p in PACKAGE if p.read_text().strip() and ast.get_docstring(tree(p)) is None] == []


def test_annotations_are_not_strings():
    """`from __future__ import annotations` would switch the shape checker off for dataclasses."""
    assert found(CODE, lambda _, node: "__future__" in imported(node)) == []


def test_one_lightning():
    """`lightning` and `pytorch_lightning` have two class trees that do not know each other."""
    assert found(CODE, lambda _, node: any(m.split(".")[0] == "lightning" for m in imported(node))) == []


def test_devices_follow_inputs():
    assert found(PACKAGE, lambda _, node: isinstance(node, ast.Call) and dotted(node.func).endswith(".cuda")) == []


def test_nothing_is_unpickled():
    def unsafe(_, node):
        if any(
            m.split(".")[0] in {"pickle", "cloudpickle", "dill", "shelve", "joblib", "marshal"} for m in imported(node)
        ):
            return True
        if not isinstance(node, ast.Call):
            return False
        given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        name = dotted(node.func)
        return (
            (name == "torch.load" and given.get("weights_only") is not True)
            or given.get("allow_pickle") is True
            or given.get("weights_only") is False
            or name in {"yaml.unsafe_load", "yaml.full_load"}
            or (isinstance(node.func, ast.Name) and name in {"eval", "exec"})
        )

    assert found(PACKAGE, unsafe) == []


FORMATS = "png|jpe?g|gif|webp|tiff?|bmp|wave?|flac|mp3|ogg|mp4|webm|avi"


def test_media_alone_know_formats():
    """Not even in words: what a file format can do is the affair of `media/`."""
    told = re.compile(rf"\b(PIL|Pillow|soundfile|torchaudio|torchcodec|PNG|JPEG|WAV|FLAC)\b|\.({FORMATS})\b")
    outside = [path for path in PACKAGE if "media" not in path.relative_to(ROOT).parts]
    lines = [(path, i, line) for path in outside for i, line in enumerate(path.read_text().splitlines(), 1)]
    assert [f"{path.relative_to(ROOT)}:{i}" for path, i, line in lines if told.search(line)] == []
    assert told.search('Path("a.png")')
    assert told.search("from PIL import Image")


def test_no_global_state():
    """No `global`; a table at the top of a module is a constant, never filled later."""
    assert found(PACKAGE, lambda _, node: isinstance(node, ast.Global)) == []
    mutators = {"append", "add", "update", "setdefault", "pop", "clear", "extend", "insert", "remove", "popitem"}

    def fills_a_table(path, node):
        tables = {
            target.id
            for statement in tree(path).body
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
            for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
            if isinstance(target, ast.Name)
        }
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            return dotted(node.value) in tables
        changed = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        return changed is not None and changed.attr in mutators and dotted(changed.value) in tables

    assert found(PACKAGE, fills_a_table) == []


def test_randomness_is_handed_in():
    """Draws name their generator. Only initialisation, in `__init__`, and dropout use the global one."""
    draws = {"rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal"}
    in_place = {"normal_", "uniform_", "bernoulli_", "exponential_", "random_", "cauchy_", "log_normal_", "geometric_"}
    seeding = {"torch.manual_seed", "torch.seed", "np.random.seed", "random.seed", "pl.seed_everything"}

    def inside_init(path, node):
        return any(
            isinstance(f, FUNCTION) and f.name == "__init__" and f.lineno <= node.lineno <= f.end_lineno
            for f in ast.walk(tree(path))
        )

    def restored(path, node):
        return any(
            isinstance(block, ast.With) and "fork_rng" in ast.unparse(block.items[0]) and node in ast.walk(block)
            for block in ast.walk(tree(path))
        )

    def implicit(path, node):
        if not isinstance(node, ast.Call) or any(k.arg == "generator" for k in node.keywords):
            return False
        module, _, name = dotted(node.func).rpartition(".")
        if dotted(node.func) in seeding:
            return "training" not in path.parts and not restored(path, node)
        if module == "torch":
            return name in draws | {"rand_like", "randn_like", "randint_like"} and not inside_init(path, node)
        if module in {"np.random", "numpy.random"}:
            return name not in {"default_rng", "Generator", "PCG64", "SeedSequence", "Philox"}
        return name in in_place and not module.endswith("init")

    assert found(PACKAGE, implicit) == []
    assert found(CORE, lambda _, node: "random" in imported(node)) == []


def words(identifier):
    """`VarHead` and `var_head` alike: {"var", "head"}. `TypeVar`, a variance and CSS's `var(...)` are no system."""
    identifier = re.sub(r"(Type|Context|Class)Var|log_var|var\(", "", identifier)
    return {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def names_a_system(path, node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        prose = re.search(r"\s", node.value)
        return bool(re.search(rf"\b({SYSTEMS})\b", node.value) if prose else words(node.value) & NAMES)
    given = [getattr(node, field, None) for field in ("name", "arg", "id", "asname")]
    if isinstance(node, ast.Attribute) and (isinstance(node.ctx, ast.Store) or node.attr != "var"):
        given.append(node.attr)  # reading `.var` is the variance of a tensor
    return any(words(g) & (NAMES | {"infinity"}) for g in given if isinstance(g, str))


def test_the_core_names_no_system():
    """What differs between published systems is an option, a preset or a card; never a name or a branch in code."""
    prose = {
        id(node.body[0].value)
        for path in CORE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | FUNCTION) and ast.get_docstring(node) is not None
    }
    assert found(CORE, lambda path, node: id(node) not in prose and names_a_system(path, node)) == []


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("var = 1", True),
        ("class HartHead: pass", True),
        ("x.var()", False),
        ("kind == 'mar'", True),
        ("variance = 1", False),
    ],
)
def test_the_search_for_systems_sees(code, named):
    assert any(names_a_system(None, node) for node in ast.walk(ast.parse(code))) is named


def test_laws_know_contracts_only():
    """A law speaks of any part of its slot, so it may import bases and what they share, never a part."""
    shared = r"laws(\..+)?|nn(\..+)?|diffusion(\..+)?|\w+\.base|samplers\.\w+|orders\.\w+|tokenizers\.canvas"
    # cards are put together before they are judged
    whole = r"system\.errors|types|model|assemble|generate\.trained|config\.(compose|signature)|runs\.weights"
    allowed = re.compile(rf"hybridgen\.({whole}|{shared})$")

    def a_part(_, node):
        return any(m.startswith("hybridgen") and not allowed.match(m) for m in imported(node))

    assert found([p for p in PACKAGE if "laws" in p.parts], a_part) == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=[str(p.relative_to(ROOT)) for p in EXPERIMENTS])
def test_experiments_are_short_and_say_their_command(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    header = "\n".join(line for line in lines[: next(i for i, line in enumerate(lines) if line and line[0] != "#")])
    if "Not run by itself" in header:
        return
    if path.parent.name == "published":
        for verb in ("import", "cost"):
            assert f"hybridgen {verb} published/{path.stem}" in header, f"the header says how to {verb} it"
        assert re.search(r"[Ll]icence", header), "the header says the licence as stated"
        return
    verb = "(sweep|ablate)" if path.parent.name == "ablations" else "train"
    assert re.search(rf"hybridgen {verb} (\S*/)?{re.escape(path.stem)}\b", header), "the header says the command"
    assert len(lines) <= 20
    assert re.search(r"\b(two|2) (CPU )?cores\b", header), "the header says the time on two cores"
    assert len([line for line in lines if line.strip() and not line.lstrip().startswith("#")]) <= 15


def imports_of(*arguments):
    """Modules that a command imports, by the interpreter's own account."""
    code = "import sys; from hybridgen.cli import main; sys.exit(main())"
    command = [sys.executable, "-X", "importtime", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}


HEAVY = {"torch", "torchvision", "mlflow", "pandas", "pytorch_lightning", "scipy", "timm", "matplotlib"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], HEAVY | {"omegaconf", "numpy", "pydantic"}),
        (["list"], HEAVY),
        (["compose", "demo"], HEAVY),
    ],
    ids=["help", "list", "compose"],
)
def test_light_commands_stay_light(arguments, heavy):
    assert imports_of(*arguments) & heavy == set()


def test_every_folder_is_in_the_map():
    """The README's map of the house names every folder and file at the top of the package."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    house = text[text.index("## Map of the house") :]
    parts = {p.name + "/" if p.is_dir() else p.name for p in (ROOT / "hybridgen").iterdir() if p.name[0] not in "_."}
    assert {p for p in parts if not re.search(rf"(?<![\w.]){re.escape(p)}", house)} == set()


def test_package_files_are_in_the_package():
    """A folder without `__init__.py` would be left out of nothing today and of the wheel tomorrow."""
    folders = {p.parent for p in PACKAGE}
    assert [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()] == []


def test_sources_are_where_they_should_be():
    assert PACKAGE, "no source found: every rule above would hold of nothing"
    assert EXPERIMENTS
    assert Path(__file__) in CODE
