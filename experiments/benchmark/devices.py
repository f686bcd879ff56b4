"""Communication, memory and time of one training step on 1, 2, 4 and 8 devices.

    python -m experiments.benchmark devices
    python -m experiments.benchmark devices --model=alexnet --repetitions=1

On a CPU, XLA treats parts of it as separate devices. Bytes and memory are those of as many real devices, with the
exceptions in docs/devices.md. The time says nothing about the speed of real devices.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import jax
import tyro

from dg_jax import config, errors
from dg_jax.training import backend, devices
from dg_jax.training import step as training_step
from experiments.benchmark import collectives, measure, report, step

_IMAGES_PER_SOURCE = 64


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures a training step of several strategies on several numbers of devices."""

    model: step.Model = "small_cnn"
    """small_cnn (3 x 64 images of 32 px), or alexnet (224 px; 3 x 32 on a CPU, 3 x 128 on a GPU)."""
    counts: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of devices."""
    cases: tuple[str, ...] = ("deep_all", "agr_sum", "agr_rand", "pcgrad", "agr_sum:accumulated", "pcgrad:two_pass")
    """Strategies, with :FORM where the Jacobian is not stacked."""
    repetitions: int = 5
    """How many times each is timed; 0 measures communication and memory only."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def compiled_step(
    settings: config.RunConfig, layout: devices.Layout
) -> tuple[jax.stages.Compiled, Callable[[], object]]:
    """Returns a compiled step on made-up images, and a function that runs it."""
    params, apply_fn = step.network(settings)
    batches = layout.feed(step.made_feed(settings, step.made_up_sources(settings, _IMAGES_PER_SOURCE)))
    trainer = training_step.make_trainer(settings, apply_fn, params, batches, layout)
    state, value = layout.split(trainer.init(params), trainer.like), next(batches.values(0))
    with layout.in_use():
        lowered = jax.jit(trainer.step, donate_argnums=0).lower(state, value)
    compiled = lowered.compile(compiler_options=backend.compiler_options())

    def call():
        nonlocal state
        state, metrics = compiled(state, value)
        return jax.block_until_ready(metrics)

    return compiled, call


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, there are too few devices, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark devices")
    measure.check_repetitions(arguments.repetitions, fewest=0)
    jax.config.update("jax_num_cpu_devices", min(max(arguments.counts, default=1), devices.MOST_OF_CPU))  # before use
    known = jax.devices()
    if max(arguments.counts, default=0) > len(known):
        raise errors.UserError(f"--counts: there are {len(known)} devices ({known[0].platform})")
    table = report.Table(
        "devices",
        f"A training step of {arguments.model} on three sources. Sent: results of the collectives on one device, as a "
        "multiple of the parameters' bytes. Held: the step's arguments on one device, which are parameters, Adam's "
        "moments and images. Temporary: memory by XLA's analysis. Time: median (fastest to slowest).",
        [
            report.Column("case", "strategy"),
            report.Column("devices", "devices"),
            report.Column("sent", "sent, times the parameters"),
            report.Column("gathered", "of it gathered"),
            report.Column("held", "held, MB", 1e-6),
            report.Column("temporary", "temporary, MB", 1e-6),
            report.Column("step", "step, ms", 1e3),
        ],
    )
    for case in arguments.cases:
        strategy, _, form = case.partition(":")
        settings = step.run_config(arguments.model, strategy, None)
        settings = config.changed(settings, gradients=form or "stacked")
        config.check(settings)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(step.network(settings)[0]))
        calls = {}
        for count in arguments.counts:
            compiled, call = compiled_step(settings, devices.Layout(known[:count]))
            calls[count] = call
            sent, analysis = collectives.sent(compiled), compiled.memory_analysis()
            table.rows.append(
                {
                    "case": case,
                    "devices": count,
                    "sent": sum(bytes_ for _, bytes_ in sent) / size,
                    "gathered": sum(bytes_ for name, bytes_ in sent if name == "all-gather") / size,
                    "held": analysis.argument_size_in_bytes,  # type: ignore[union-attr]
                    "temporary": analysis.temp_size_in_bytes,  # type: ignore[union-attr]
                }
            )
        if arguments.repetitions:
            seconds = measure.alternate(calls, arguments.repetitions, what=case)
            for row in table.rows[-len(calls) :]:
                row["step"] = seconds[row["devices"]]
    report.write("devices", ["devices", *flags], [table], arguments.output)
