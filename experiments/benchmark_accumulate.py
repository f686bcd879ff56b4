"""Memory and time of a training step with stacked and with accumulated gradients.

    python -m experiments.benchmark_accumulate

A step of Agr-Sum with AlexNet (57 million parameters, 228 MB in float32) on few small images, so
that the gradients outweigh all else. Each row of the printed Markdown table is measured in a
process of its own. Temporary memory is what the compiled step needs beside parameters and
optimizer state; the peak is of the whole process, compilation included.
"""

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time

from dg_jax import extras

if __name__ == "__main__":
    extras.exit_unless_installed("train")

import tyro

FORMS = {False: "stacked", True: "accumulated"}


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Measures one step for each number of domains, in both forms."""

    domains: tuple[int, ...] = (3, 16)
    """Numbers N of source domains."""
    batch_size: int = 2
    """Images of each domain."""
    image_size: int = 63
    """Height and width of the images, in pixels."""
    steps: int = 5
    """Steps that are timed, after one that is not."""


def measure(benchmark: Benchmark, n: int, accumulate_domains: bool) -> dict[str, float]:
    """Compiles and takes steps on ``n`` domains in this process."""
    import jax
    import numpy as np

    from dg_jax import backend, config, models
    from dg_jax.data import dataset, feed
    from dg_jax.training import step

    run_config = config.RunConfig(batch_size=benchmark.batch_size, accumulate_domains=accumulate_domains)
    shape = (benchmark.batch_size, benchmark.image_size, benchmark.image_size, 3)
    rng = np.random.default_rng(0)
    sources = [
        dataset.Part(rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 7, benchmark.batch_size))
        for _ in range(n)
    ]
    batches = feed.domain_batches(sources, jax.random.key(0), benchmark.batch_size)
    params, apply_fn = models.create("alexnet", 7, jax.random.key(0))
    trainer = step.make_trainer(run_config, apply_fn, params, batches)
    state = trainer.init(params)
    lowered = jax.jit(trainer.step, donate_argnums=0).lower(state, batches.like)
    compiled = lowered.compile(compiler_options=backend.compiler_options())
    seconds = []
    for _ in range(benchmark.steps + 1):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled(state, batches.like))
        seconds.append(time.perf_counter() - start)
    assert np.isfinite(metrics.losses).all()
    return {
        "temporary": compiled.memory_analysis().temp_size_in_bytes,  # type: ignore[union-attr]
        "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "seconds": statistics.median(seconds[1:]),
    }


def main() -> None:
    benchmark = tyro.cli(Benchmark)
    print("| N | gradients | temporary memory, MB | peak of the process, MB | ms per step, median |")
    print("|---|---|---|---|---|")
    for n in benchmark.domains:
        for accumulate_domains, form in FORMS.items():
            code = (
                f"import json; from experiments.benchmark_accumulate import Benchmark, measure; "
                f"print(json.dumps(measure({benchmark!r}, {n}, {accumulate_domains})))"
            )
            child = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
            measured = json.loads(child.stdout)
            print(
                f"| {n} | {form} | {measured['temporary'] / 1e6:.0f} | {measured['peak'] / 1e6:.0f} "
                f"| {1000 * measured['seconds']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
