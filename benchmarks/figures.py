"""The figures of README.md and docs/log.md, all from one command; hours on two cores, resumable at any point.

    make figures            # needs the full Fashion-MNIST: HYBRIDGEN_DATA, or a download

1. What the residual buys: the same models with and without it, at n = 10,000 against the full test set, three
   training seeds; beside it the best model of codes alone at equal training time, with a codebook of its own.
   The size of that codebook is chosen first, on the training pictures, so that the opponent is not starved.
2. Distance against seconds a picture: plain diffusion of the same latents at several numbers of steps, and the hybrid
   at several numbers of head steps, trained for equal time, each at the guidance that suits it best, chosen on the
   training pictures. Seconds are medians of interleaved rounds.

Every unit of work leaves a JSON file in runs/figures/; what is there is not done again.
"""

import argparse
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

from hybridgen.assemble import assemble_data, assemble_settings
from hybridgen.config.compose import Composed, compose
from hybridgen.evaluation.drawing import draw_samples
from hybridgen.evaluation.evaluate import evaluate_samples
from hybridgen.evaluation.whole import known_facts
from hybridgen.generate.trained import Trained
from hybridgen.runs.run import Run
from hybridgen.system.files import write_atomic
from hybridgen.training.generator_stage import train_generator
from hybridgen.training.machine import choose
from hybridgen.training.tokenizer_stage import obtain_tokenizer
from hybridgen.workflows.run_experiment import as_trained

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the backend was chosen

ROOT = Path("runs/figures")
ASSETS = Path("docs/assets")
SEEDS = (0, 1, 2)
ARMS = {"hybrid": "hart_fashion_mnist", "codes alone": "var_fashion_mnist", "diffusion": "dit_fashion_mnist"}
CODEBOOKS = (128, 512, 2048)  # entries, of which codes alone takes the best
HEAD_STEPS, DIFFUSION_STEPS = (1, 2, 4, 8), (2, 4, 8, 16, 30)
GUIDANCES = (1.5, 2.0, 3.0, 4.0)  # of the codes, or of diffusion, of which each arm takes its best
ROUNDS, DRAWN = 7, 100  # timing: rounds, and pictures drawn in each
STUDENT = {2: 12.706, 3: 4.303}  # 97.5 % quantile of t by number of seeds


def main() -> None:
    """Does what is not done yet, then draws and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="pictures a figure of the residual")
    parser.add_argument("--speed-samples", type=int, default=5_000, help="pictures a point of distance against seconds")
    parser.add_argument("--only", choices=("residual", "speed"), help="one of the two figures")
    args = parser.parse_args()
    steps = unit("steps_at_equal_time", equal_steps)
    print(f"steps at equal training time: {steps}")
    if args.only != "speed":
        sizes = {size: unit(f"codebook_{size}", lambda size=size: codebook(size, steps)) for size in CODEBOOKS}
        best = min(CODEBOOKS, key=lambda size: sizes[size]["frechet"]["value"])
        print("codes alone:", {size: round(row["frechet"]["value"], 4) for size, row in sizes.items()}, "best", best)
        rows = [residual_row(seed, steps, args.samples, best) for seed in SEEDS]
        print(residual_table(rows, best))
    if args.only != "residual":
        points = speed_points(steps, args.speed_samples)
        plot_speed(points)
        print(speed_table(points))


def unit(name: str, work: Callable[[], Any]) -> Any:
    """The result of `work`, kept in runs/figures/."""
    file = ROOT / f"{name}.json"
    if not file.exists():
        began = time.perf_counter()
        found = work()
        write_atomic(file, json.dumps(found, indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return json.loads(file.read_text())


def equal_steps() -> dict[str, int]:
    """Generator steps of each arm that take as long as the hybrid's own number: medians of interleaved rounds."""
    from hybridgen.workflows.dry_run import seconds_per_step

    arms = {arm: compose(name) for arm, name in ARMS.items()}
    for size in CODEBOOKS:
        arms[_codes_alone(size)] = compose(ARMS["codes alone"], [f"model.tokenizer.vocab={size}"])
    rounds = [{arm: seconds_per_step(composed) for arm, composed in arms.items()} for _ in range(7)]
    each = {arm: statistics.median(r[arm] for r in rounds) for arm in arms}
    own = arms["hybrid"].config["train"]["generator"]["steps"]
    print("seconds a step:", {arm: round(s, 4) for arm, s in each.items()})
    return {arm: round(own * each["hybrid"] / s) for arm, s in each.items()}


def trained(arm: str, seed: int, count: int, *overrides: str) -> tuple[Composed, Trained]:
    """The arm's model of a seed after `count` steps, trained if it is not yet."""
    composed = compose(ARMS[arm], [f"seed={seed}", f"train.generator.steps={count}", f"runs={ROOT}", *overrides])
    machine, data = choose(composed.config["device"], composed.config["precision"]), assemble_data(composed)
    name = "_".join([f"seed{seed}", *(o.rpartition(".")[2].replace("=", "") for o in overrides)])
    run = Run.at(ROOT / composed.name / name, composed.config, composed.delta)
    began = time.perf_counter()
    tokenizer, _ = obtain_tokenizer(composed, data, machine, ROOT, print)
    middle = time.perf_counter()
    model = train_generator(composed, tokenizer, data, machine, run, None)
    print(f"{arm}, seed {seed}: tokenizer {middle - began:.0f} s, generator {time.perf_counter() - middle:.0f} s")
    return composed, as_trained(composed, model, data, run)


def judged(
    composed: Composed, model: Trained, samples: int, seed: int = 0, reference: str = "test", **settings: Any
) -> dict[str, Any]:
    """Figures of pictures of the seeds from `seed` on, drawn with these sampler settings."""
    data, chosen = assemble_data(composed), assemble_settings(composed, "metrics")
    chosen = dataclasses.replace(chosen, reference=reference, seed=seed, samples=samples)
    pixels, labels = draw_samples(model, samples, seed, chosen.batch, **settings)
    seeds = f"{seed}-{seed + samples - 1}"
    protocol = {**known_facts(model), "sampler": {**model.config["sampler"], **settings}, "seeds": seeds}
    figures = evaluate_samples(pixels, labels, data, chosen, protocol)
    return {name: shown.to_json() for name, shown in figures.items()}


def codebook(size: int, steps: dict[str, int]) -> dict[str, Any]:
    """Codes alone with a codebook of this size, judged against training pictures: the test set is not chosen on."""
    model = trained("codes alone", 0, steps[_codes_alone(size)], f"model.tokenizer.vocab={size}")
    return judged(*model, samples=5_000, seed=50_000, reference="train")


def residual_row(seed: int, steps: dict[str, int], samples: int, size: int) -> dict[str, Any]:
    """One seed: the hybrid with and without its residual, and codes alone with their own codebook."""

    def hybrid() -> dict[str, Any]:
        composed, model = trained("hybrid", seed, steps["hybrid"])
        return {"with": judged(composed, model, samples), "without": judged(composed, model, samples, head_steps=0)}

    def codes() -> dict[str, Any]:
        model = trained("codes alone", seed, steps[_codes_alone(size)], f"model.tokenizer.vocab={size}")
        return judged(*model, samples)

    return {**unit(f"hybrid_seed{seed}", hybrid), "codes": unit(f"codes_seed{seed}", codes)}


def residual_table(rows: list[dict[str, Any]], size: int) -> str:
    """Markdown: each seed, then means with 95 % intervals over seeds."""
    titles = (
        "seed",
        "with residual",
        "without",
        "ratio",
        "KID with",
        "KID without",
        f"codes alone, V = {size}",
        "ratio",
    )
    lines = [f"| {' | '.join(titles)} |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    columns: list[list[float]] = [[] for _ in range(7)]
    for seed, row in zip(SEEDS, rows, strict=True):
        a, b, c = (row[k]["frechet"]["value"] for k in ("with", "without", "codes"))
        values = [a, b, a / b, row["with"]["kid"]["value"], row["without"]["kid"]["value"], c, a / c]
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        lines.append(f"| {seed} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    lines.append("| mean, 95 % | " + " | ".join(_mean(column) for column in columns) + " |")
    return "\n".join(lines)


class Point(NamedTuple):
    """One setting of one model: where it stands in the plot."""

    arm: str
    steps: int
    milliseconds: float  # a picture
    distance: float
    interval: tuple[float, float]  # 95 %, of the distance


def speed_points(steps: dict[str, int], samples: int) -> list[Point]:
    """Both arms on seed 0."""
    counts = [("hybrid", n) for n in HEAD_STEPS] + [("diffusion", n) for n in DIFFUSION_STEPS]
    best = {"hybrid": guidance("hybrid", 4, steps), "diffusion": guidance("diffusion", 16, steps)}
    print("guidance:", best)
    found = {}
    for arm, count in counts:

        def work(arm: str = arm, count: int = count) -> dict[str, Any]:
            return judged(*trained(arm, 0, steps[arm]), samples, head_steps=count, guidance=best[arm])

        found[arm, count] = unit(f"{arm}_{count}_steps_guidance_{best[arm]}", work)["frechet"]
    taken = unit("seconds", lambda: seconds_a_picture(steps, counts))
    return [
        Point(arm, count, 1e3 * taken[f"{arm} {count}"], shown["value"], shown["interval"])
        for (arm, count), shown in found.items()
    ]


def guidance(arm: str, count: int, steps: dict[str, int]) -> float:
    """The best of GUIDANCES with so many steps, on 2,500 pictures against training pictures."""

    def work(strength: float) -> dict[str, Any]:
        model = trained(arm, 0, steps[arm])
        return judged(*model, samples=2_500, seed=50_000, reference="train", head_steps=count, guidance=strength)

    rows = {g: unit(f"{arm}_guidance_{g}", lambda g=g: work(g)) for g in GUIDANCES}
    print(arm, "by guidance:", {g: round(row["frechet"]["value"], 4) for g, row in rows.items()})
    return min(GUIDANCES, key=lambda g: rows[g]["frechet"]["value"])


def seconds_a_picture(steps: dict[str, int], counts: list[tuple[str, int]]) -> dict[str, float]:
    """Medians over interleaved rounds, so that a busy moment of the machine falls on every arm alike."""
    models = {arm: trained(arm, 0, steps[arm])[1] for arm in dict(counts)}
    rounds: dict[str, list[float]] = {f"{arm} {count}": [] for arm, count in counts}
    for index in range(ROUNDS + 1):  # the first warms up
        for arm, count in counts:
            began = time.perf_counter()
            models[arm].sample(count=DRAWN, head_steps=count)
            if index:
                rounds[f"{arm} {count}"].append((time.perf_counter() - began) / DRAWN)
    return {name: statistics.median(each) for name, each in rounds.items()}


def diffusion_time(distance: float, points: list[Point]) -> float | None:
    """Milliseconds at which diffusion reaches this distance, interpolated between steps; None: out of its range."""
    ordered = sorted((p.distance, p.milliseconds) for p in points if p.arm == "diffusion")
    for (d0, t0), (d1, t1) in pairwise(ordered):
        if d0 <= distance <= d1:
            share = (distance - d0) / (d1 - d0)
            return math.exp(math.log(t0) + share * (math.log(t1) - math.log(t0)))
    return None


def plot_speed(points: list[Point]) -> None:
    """docs/assets/speed.png."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for arm, marker in (("diffusion", "o"), ("hybrid", "s")):
        own = [p for p in points if p.arm == arm]
        x, y = [p.milliseconds for p in own], [p.distance for p in own]
        spread = [[p.distance - p.interval[0] for p in own], [p.interval[1] - p.distance for p in own]]
        axes.errorbar(x, y, spread, marker=marker, capsize=3, elinewidth=0.8, label=f"{arm}, by steps")
        for p in own:
            axes.annotate(str(p.steps), (p.milliseconds, p.distance), textcoords="offset points", xytext=(5, 5))
    axes.set(xscale="log", xlabel="milliseconds a picture, two CPU cores", ylabel="Fréchet distance (judge)")
    axes.set(xlim=(3, 80), ylim=(0, None), xticks=(ticks := [3, 5, 10, 20, 50]), xticklabels=map(str, ticks))
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(ASSETS / "speed.png", dpi=150)


def speed_table(points: list[Point]) -> str:
    """Markdown of the same, and how much faster than diffusion at its own distance each point of the hybrid is."""
    lines = ["| model | steps | ms a picture | Fréchet distance | diffusion at this distance |"]
    lines.append("|---|---|---|---|---|")
    for p in points:
        equal = diffusion_time(p.distance, points) if p.arm == "hybrid" else None
        said = f"{equal:.1f} ms: {equal / p.milliseconds:.1f} times the time" if equal else ""
        low, high = p.interval
        distance = f"{p.distance:.3f} ({low:.3f}, {high:.3f})"
        lines.append(f"| {p.arm} | {p.steps} | {p.milliseconds:.1f} | {distance} | {said} |")
    return "\n".join(lines)


def _codes_alone(size: int) -> str:
    return f"codes alone, {size}"


def _mean(values: list[float]) -> str:
    mean = statistics.fmean(values)
    half = STUDENT[len(values)] * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{mean:.3f} ± {half:.3f}"


if __name__ == "__main__":
    main()
