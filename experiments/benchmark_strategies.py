"""Time of one training step of each strategy, as a ratio to Deep-All.

    python -m experiments.benchmark_strategies

The steps are whole ones (sampling, stacked gradients, combiner, L2, Adam) of the default run
on emoji shapes: 3 sources of 864 images of 32 px, 64 of each in a step. All strategies are
compiled first and then measured in turns, so that a change of the machine's speed meets all
of them alike. Prints a Markdown table.
"""

import dataclasses
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from dg_jax import config, models, strategies
from dg_jax.data import dataset, feed
from dg_jax.training import step

NUM_CLASSES = 8
IMAGES_PER_SOURCE = 864


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Measures a training step of each strategy in turns."""

    repetitions: int = 9
    """How many times each strategy is measured."""
    steps: int = 5
    """Steps in one measurement."""


def compiled_step(strategy: str, batches: feed.Feed):
    """Returns a compiled step of the default run with ``strategy`` and its first state."""
    run_config = dataclasses.replace(config.defaults("emoji"), strategy=strategy)
    params, apply_fn = models.create(run_config.model, NUM_CLASSES, jax.random.key(0))
    trainer = step.make_trainer(run_config, apply_fn, params, batches)
    state = trainer.init(jax.tree.map(jnp.copy, params))
    return jax.jit(trainer.step, donate_argnums=0).lower(state, batches.like).compile(), state


def main() -> None:
    benchmark = tyro.cli(Benchmark)
    shared = config.defaults("emoji")
    rng = np.random.default_rng(0)
    shape = (IMAGES_PER_SOURCE, shared.image_size, shared.image_size, 3)
    sources = [
        dataset.Part(
            rng.integers(0, 256, shape, dtype=np.uint8),
            rng.integers(0, NUM_CLASSES, IMAGES_PER_SOURCE).astype(np.int32),
        )
        for _ in shared.sources
    ]
    batches = feed.domain_batches(sources, jax.random.key(0), shared.batch_size)
    compiled = {strategy: compiled_step(strategy, batches) for strategy in strategies.STRATEGIES}
    seconds: dict[str, list[float]] = {strategy: [] for strategy in compiled}
    for _ in range(benchmark.repetitions + 1):
        for strategy, (take_step, state) in compiled.items():
            start = time.perf_counter()
            for _ in range(benchmark.steps):
                state, metrics = take_step(state, batches.like)
            jax.block_until_ready((state, metrics))
            seconds[strategy].append((time.perf_counter() - start) / benchmark.steps)
            compiled[strategy] = (take_step, state)

    print(f"device {jax.devices()[0].device_kind}, JAX {jax.__version__}, {benchmark.repetitions} repetitions\n")
    print("| strategy | ms per step, median | fastest to slowest | ratio to deep_all, median |")
    print("|---|---|---|---|")
    for strategy, (_, *times) in seconds.items():  # the first round warms up
        ratio = statistics.median(ours / base for ours, base in zip(times, seconds["deep_all"][1:], strict=True))
        spread = f"{1000 * min(times):.0f} to {1000 * max(times):.0f}"
        print(f"| {strategy} | {1000 * statistics.median(times):.0f} | {spread} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
