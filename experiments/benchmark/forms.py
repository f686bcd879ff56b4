"""Memory and time of a training step with each combiner in each form of Jacobian that it takes.

    python -m experiments.benchmark forms
    python -m experiments.benchmark forms --networks=alexnet --rows=3

A step is losses, Jacobian, combiner and Adam. The dense network has 16 layers of 1024 x 1024; its gradients take more
memory than its activations. AlexNet, at 224 px, has 57 million parameters, most of them in two layers, and large
activations.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from dg_jax import models, strategies, surgery
from dg_jax.objectives import loss
from dg_jax.training import backend
from experiments.benchmark import measure, report

LAYERS, WIDTH = 16, 1024
IMAGE_SIZE, CLASSES = 224, 7
BATCH_SIZES = {"dense": 8, "alexnet": 32}
NAMES = ("deep_all", "agr_sum", "agr_rand", "pcgrad", "group_dro")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures a step with each combiner in each form that it takes."""

    networks: tuple[str, ...] = ("dense",)
    """Which networks: dense, alexnet."""
    rows: tuple[int, ...] = (4, 16)
    """Numbers N of losses."""
    combiners: tuple[str, ...] = NAMES
    """Which combiners."""
    repetitions: int = 3
    """How many times each is measured; 0 measures memory and compilation only."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def dense(n: int) -> tuple[Callable, chex.ArrayTree, tuple]:
    """Returns the loss of one domain, parameters, and the stacked data of n domains."""
    rng = np.random.default_rng(0)
    params = [jnp.asarray(rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH), jnp.float32) for _ in range(LAYERS)]

    def domain_loss(params, x):
        return jnp.mean(jnp.square(functools.reduce(lambda x, w: jax.nn.relu(x @ w), params, x)))

    return domain_loss, params, (jnp.asarray(rng.normal(size=(n, BATCH_SIZES["dense"], WIDTH)), jnp.float32),)


def alexnet(n: int) -> tuple[Callable, chex.ArrayTree, tuple]:
    """Returns the same for AlexNet, with one dropout key for each domain."""
    rng = np.random.default_rng(0)
    params, apply_fn = models.create("alexnet", CLASSES, jax.random.key(0))

    def domain_loss(params, images, labels, key):
        return loss.cross_entropy(apply_fn(params, images, key=key, train=True), labels)

    images = rng.normal(size=(n, BATCH_SIZES["alexnet"], IMAGE_SIZE, IMAGE_SIZE, 3))
    labels = rng.integers(CLASSES, size=images.shape[:2])
    return (
        domain_loss,
        params,
        (jnp.asarray(images, jnp.float32), jnp.asarray(labels), jax.random.split(jax.random.key(1), n)),
    )


NETWORKS = {"dense": dense, "alexnet": alexnet}


def compiled_step(
    network: str,
    n: int,
    combiner: optax.GradientTransformation,
    form: str,
    gram_of: Callable[[str], bool] | None = None,
) -> tuple[jax.stages.Compiled, Callable[[], chex.Array], float]:
    """Returns a compiled step, a function that runs it and returns the losses, and the seconds of its compilation."""
    domain_loss, params, stacked = NETWORKS[network](n)
    optimizer = optax.chain(combiner, optax.adam(1e-4))
    losses_and_jacobian = surgery.value_and_grads(domain_loss, form, gram_of=gram_of)  # type: ignore[arg-type]

    def step(params, state, *stacked):
        losses, jacobian = losses_and_jacobian(params, *stacked)
        updates, state = optimizer.update(jacobian, state, params, losses=losses)
        return optax.apply_updates(params, updates), state, losses

    state = optimizer.init(params)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, *stacked)
    start = time.perf_counter()
    compiled = lowered.compile(compiler_options=backend.compiler_options())
    seconds = time.perf_counter() - start

    def call():
        nonlocal params, state
        params, state, losses = jax.block_until_ready(compiled(params, state, *stacked))
        return losses

    return compiled, call, seconds


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark forms")
    measure.check_repetitions(arguments.repetitions, fewest=0)
    measure.known_names("--networks", arguments.networks, list(NETWORKS))
    measure.known_names("--combiners", arguments.combiners, NAMES)
    table = report.Table(
        "forms",
        f"A step with Adam; dense: {LAYERS} layers of {WIDTH} x {WIDTH}, {BATCH_SIZES['dense']} examples a domain; "
        f"alexnet: {BATCH_SIZES['alexnet']} images of {IMAGE_SIZE} px a domain. Temporary memory by XLA's analysis, "
        "without parameters, Adam's moments and the batch. Time: median (fastest to slowest).",
        [
            report.Column("network", "network"),
            report.Column("N", "N"),
            report.Column("combiner", "combiner"),
            report.Column("form", "form"),
            report.Column("temporary", "temporary, MB", 1e-6),
            report.Column("compile", "compiling, s"),
            report.Column("step", "step, ms", 1e3),
        ],
    )
    for network in arguments.networks:
        for n in arguments.rows:
            for combiner in arguments.combiners:
                table.rows += _rows(network, n, combiner, arguments.repetitions)
    report.write("forms", ["forms", *flags], [table], arguments.output)


def _rows(network: str, n: int, combiner: str, repetitions: int) -> list[dict]:
    """The forms of one combiner, measured in turns."""
    steps = {
        form: compiled_step(network, n, strategies.make_combiner(combiner, {}, num_rows=n), form)
        for form in strategies.FORMS[combiner]
    }
    seconds: dict[str, measure.Spread] = {}
    if repetitions:
        calls = {form: call for form, (_, call, _) in steps.items()}
        seconds = measure.alternate(calls, repetitions, what=f"{network}, N = {n}, {combiner}")
    return [
        {
            "network": network,
            "N": n,
            "combiner": combiner,
            "form": form,
            "temporary": compiled.memory_analysis().temp_size_in_bytes,  # type: ignore[union-attr]
            "compile": compiling,
            "step": seconds.get(form),
        }
        for form, (compiled, _, compiling) in steps.items()
    ]
