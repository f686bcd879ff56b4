"""Time and memory of a whole training step: ours for every strategy, and plain PyTorch's.

    python -m experiments.benchmark step
    python -m experiments.benchmark step --model=alexnet

A step is sampling, stacked Jacobian, combiner, L2 and Adam, on made-up images of three sources
that are on the device. Ours runs as in the training loop: step by step on a CPU, in one scan on a GPU.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from dg_jax import config, errors, models, strategies
from dg_jax.data import dataset, feed
from dg_jax.training import advance, backend, step
from experiments.benchmark import measure, memory, report
from experiments.benchmark.rival import device as rival_device
from experiments.benchmark.rival import networks, training

Model = Literal["small_cnn", "alexnet"]

IMAGES_PER_SOURCE = 864  # as emoji has
CLASSES = {"small_cnn": 8, "alexnet": 7}  # of emoji and of PACS
# Losses and Adam's first moments are compared. The moments are the combined gradient with the L2 term, scaled.
LOSS_TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-6  # of the norm
_CHECKED_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures a training step of each strategy, ours and plain PyTorch's in turns."""

    model: Model = "small_cnn"
    """small_cnn as on emoji (3 x 64 images of 32 px), or alexnet (224 px; 3 x 32 on a CPU, 3 x 128 on a GPU)."""
    strategies: tuple[str, ...] = ()
    """Which strategies. By default all for small_cnn, agr_sum and deep_all for alexnet."""
    batch_size: int | None = None
    """Images of each source in a step."""
    steps: int | None = None
    """Steps in one measurement. By default 20 on a GPU; on a CPU 5 of small_cnn, 1 of alexnet."""
    repetitions: int = 7
    """How many times each is measured."""
    keep_memory: bool = True
    """With a small network, let the C library keep free memory, as dg_jax.run does. It then does so for PyTorch too."""
    memory: bool = True
    """Measure AlexNet's memory too. For this, each contender starts alone in a process."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def run_config(model: Model, strategy: str, batch_size: int | None) -> config.RunConfig:
    """Returns the settings of a run on emoji's sources with the network's own preset."""
    alexnet = model == "alexnet"
    preset = config.defaults("emoji", "paper" if alexnet else "dataset")
    default = 32 if alexnet and jax.default_backend() == "cpu" else preset.optimisation.batch_size
    return config.changed(preset, strategy=strategy, batch_size=default if batch_size is None else batch_size)


def made_up_sources(settings: config.RunConfig, images_per_source: int, count: int = 3) -> list[dataset.Part]:
    """Draws the training parts of ``count`` sources."""
    rng = np.random.default_rng(0)
    shape = (images_per_source, settings.data.image_size, settings.data.image_size, 3)
    return [
        dataset.Part(
            rng.integers(0, 256, shape, dtype=np.uint8),
            rng.integers(0, CLASSES[settings.network.model], images_per_source).astype(np.int32),
        )
        for _ in range(count)
    ]


def made_feed(settings: config.RunConfig, sources: list[dataset.Part]) -> feed.Feed:
    return feed.domain_batches(sources, jax.random.key(0), settings.optimisation.batch_size)


def network(settings: config.RunConfig):
    """Returns our network with its first parameters."""
    return models.create(settings.network.model, CLASSES[settings.network.model], jax.random.key(0))


def ours(settings: config.RunConfig, batches: feed.Feed, steps: int) -> tuple[Callable[[], object], float]:
    """Returns a function that takes the next ``steps`` steps as the training loop does, and the compile time in s."""
    params, apply_fn = network(settings)
    trainer = step.make_trainer(settings, apply_fn, params, batches)
    state = trainer.init(params)
    take_steps = advance.Advance(trainer.step, batches, 0)
    start = time.perf_counter()
    state, _ = take_steps(state, steps)  # compiles
    compiling = time.perf_counter() - start

    def call():
        nonlocal state
        end = take_steps.done + steps
        while take_steps.done < end:
            state, _ = take_steps(state, end - take_steps.done)
        return jax.block_until_ready(state)

    return call, compiling


def rival_sources(sources: list[dataset.Part]) -> list[training.Source]:
    """Returns the same images and labels on PyTorch's device, channels first."""
    device = rival_device.set_up()
    return [
        (
            rival_device.tensor(np.ascontiguousarray(part.image.transpose(0, 3, 1, 2)), device),
            rival_device.tensor(part.label, device).long(),
        )
        for part in sources
    ]


def plain_training(
    settings: config.RunConfig, sources: list[training.Source], params: chex.ArrayTree
) -> training.Training:
    """Returns PyTorch's training with a copy of our parameters."""
    return training.Training(
        settings.strategy,
        networks.create(settings.network.model, params, rival_device.set_up()),
        sources,
        batch_size=settings.optimisation.batch_size,
        learning_rate=settings.rates.learning_rate,
        weight_decay=settings.rates.weight_decay,
        step_size=settings.method.group_dro.step_size,
    )


def plain(settings: config.RunConfig, sources: list[training.Source], steps: int) -> Callable[[], object]:
    """Returns a function that takes ``steps`` steps with PyTorch."""
    trained = plain_training(settings, sources, network(settings)[0])

    def call():
        for _ in range(steps):
            losses = trained.step()
        return losses.cpu()

    return call


def alone(who: str, model: Model, strategy: str, batch_size: int) -> Callable[[], object]:
    """Returns a function that takes two steps with one contender, for :mod:`experiments.benchmark.memory`.

    It makes all that it needs, except the images. Two steps, because PyTorch makes Adam's moments in the first.
    """
    settings = run_config(model, strategy, batch_size)
    sources = made_up_sources(settings, batch_size)
    if who == "plain":
        on_device = rival_sources(sources)
        return lambda: _twice(plain(settings, on_device, 1))
    batches = made_feed(settings, sources)
    return lambda: _twice(ours(settings, batches, 1)[0])


def _twice(call: Callable[[], object]) -> tuple[Callable[[], object], object]:
    call()
    return call, call()


def check(settings: config.RunConfig) -> None:
    """Checks that both have the same losses and gradients in one step on the same parameters and images, no dropout.

    Both compute in float64. In float32 they round differently: sometimes another entry of a
    pooling window is the largest, or a component agrees in one of them only. That is no error.

    Every source has exactly one batch of images, so both draw all of them. PCGrad has two
    sources: there its random order does not matter. For Agr-Rand only the losses are
    compared: its noise differs, and the benchmark of the combiners compares the rest.

    Raises:
        UserError: they differ.
    """
    settings = config.changed(settings, batch_size=min(settings.optimisation.batch_size, _CHECKED_BATCH))
    sources = made_up_sources(settings, settings.optimisation.batch_size, 2 if settings.strategy == "pcgrad" else 3)
    batches = made_feed(settings, sources)
    params, apply_fn = network(settings)

    def without_dropout(params, images, *, key, train):
        return apply_fn(params, images)

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
        trainer = step.make_trainer(settings, without_dropout, wide, batches)
        state, metrics = jax.jit(trainer.step)(trainer.init(wide), next(batches.values(0)))
    rival = plain_training(settings, rival_sources(sources), wide)
    rival.network.eval()
    losses = rival.step()
    for mine, theirs in zip(metrics.losses.tolist(), losses.tolist(), strict=True):
        measure.check_same(f"{settings.strategy}, loss", mine, theirs, LOSS_TOLERANCE)
    if settings.strategy != "agr_rand":
        moments = networks.torch_layout(optax.tree.get(state.opt_state, "mu"))
        for name, parameter in rival.network.named_parameters():
            expected = rival.optimizer.state[parameter]["exp_avg"].cpu().numpy()
            difference = np.linalg.norm(moments[name] - expected) / np.linalg.norm(expected)
            measure.check_difference(f"{settings.strategy}, gradient of {name}", float(difference), GRADIENT_TOLERANCE)


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, our step and PyTorch's differ, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark step")
    measure.check_repetitions(arguments.repetitions)
    alexnet = arguments.model == "alexnet"
    names = arguments.strategies or (("deep_all", "agr_sum") if alexnet else strategies.PAPER)
    configs = {name: run_config(arguments.model, name, arguments.batch_size) for name in names}
    for settings in configs.values():
        config.check(settings)
        if settings.optimisation.batch_size > IMAGES_PER_SOURCE:
            raise errors.UserError(
                f"--batch-size={settings.optimisation.batch_size}: at most {IMAGES_PER_SOURCE}, the size of a source"
            )
    steps = arguments.steps or ((1 if alexnet else 5) if jax.default_backend() == "cpu" else 20)
    rivals = [name for name in names if name in training.STRATEGIES]
    for name in rivals:
        check(configs[name])

    shared = configs[names[0]]
    if arguments.keep_memory:
        backend.keep_memory(network(shared)[0])
    sources = made_up_sources(shared, IMAGES_PER_SOURCE)
    batches, on_device = made_feed(shared, sources), rival_sources(sources)
    made = {name: ours(configs[name], batches, steps) for name in names}
    calls = {("ours", name): call for name, (call, _) in made.items()}
    calls |= {("plain", name): plain(configs[name], on_device, steps) for name in rivals}
    seconds = measure.alternate(calls, arguments.repetitions, what=arguments.model)
    report.write(
        f"step-{arguments.model}",
        ["step", *flags],
        [_table(shared, steps, {name: made[name][1] for name in names}, rivals, seconds, alexnet and arguments.memory)],
        arguments.output,
    )


def _table(
    shared: config.RunConfig,
    steps: int,
    compiling: dict[str, float],
    rivals: Sequence[str],
    seconds: dict[tuple[str, str], measure.Spread],
    with_memory: bool,
) -> report.Table:
    batch_size = shared.optimisation.batch_size
    table = report.Table(
        "step",
        f"A training step of {shared.network.model}, {shared.data.image_size} px, 3 x {batch_size} images, in "
        f"{rival_device.arithmetic()}. {steps} steps in a measurement; median (fastest to slowest). AlexNet's dropout "
        "is on in both. To compile: ours, once, the first call, tracing included. Checked without dropout, in float64, "
        "on 3 (PCGrad: 2) x "
        f"{min(batch_size, _CHECKED_BATCH)} images: losses to {LOSS_TOLERANCE:g}, each parameter's gradient (not of "
        f"Agr-Rand) to {GRADIENT_TOLERANCE:g} of its norm. Memory, AlexNet only: peak of two steps above the images, "
        "parameters and Adam's moments included, each alone in a process.",
        [
            report.Column("strategy", "strategy"),
            report.Column("ours", "ours, ms", 1e3),
            report.Column("ours / deep_all", "ours / ours of deep_all"),
            report.Column("plain", "PyTorch, ms", 1e3),
            report.Column("ours / plain", "ours / PyTorch"),
            report.Column("ours, bytes", "ours, MB", 1e-6),
            report.Column("plain, bytes", "PyTorch, MB", 1e-6),
            report.Column("compile", "to compile, s"),
        ],
    )
    for name, to_compile in compiling.items():
        row: dict = {"strategy": name, "compile": to_compile}
        for who in ("ours", "plain") if name in rivals else ("ours",):
            row[who] = measure.each(seconds[who, name], steps)
            if with_memory:  # not with a small network: the compiler takes more than the step
                row[f"{who}, bytes"] = memory.of_child(
                    f"{__name__}:alone", who=who, model=shared.network.model, strategy=name, batch_size=batch_size
                )
        if "deep_all" in compiling:
            row["ours / deep_all"] = measure.ratio(seconds["ours", name], seconds["ours", "deep_all"])
        if name in rivals:
            row["ours / plain"] = measure.ratio(seconds["ours", name], seconds["plain", name])
        table.rows.append(row)
    return table
