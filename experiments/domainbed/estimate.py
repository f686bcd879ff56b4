"""How long a search will take, by a few steps of its network on this device."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import config, models
from dg_jax.data import registry
from dg_jax.training import evaluate
from experiments.domainbed import runs

_BATCH = 64
_SPLITS = 5  # 20% are held out


def seconds(planned: Sequence[runs.Planned], num_images: int, to_train: float, to_evaluate: float) -> float:
    """Returns how long runs take one after the other, without compiling.

    Args:
        planned: the runs.
        num_images: of all domains together.
        to_train: seconds that an image takes in a step.
        to_evaluate: seconds that an image takes in an evaluation.
    """
    total = 0.0
    for one in planned:
        optimisation, sources = one.run.optimisation, len(one.run.sources)
        trained = optimisation.iterations * optimisation.batch_size * sources
        of_domain = num_images / len(registry.get(one.run.data.dataset).domains)
        validations = -(-optimisation.iterations // optimisation.val_every)
        evaluated = (sources / _SPLITS + len(one.held_out)) * of_domain
        total += trained * to_train + (validations * evaluated + 2 * of_domain) * to_evaluate
    return total


def seconds_per_image(run: config.RunConfig) -> tuple[float, float]:
    """Returns how long an image takes in a step of Deep-All, and in an evaluation, on this device."""
    channels = 2 if run.data.dataset == "colored_mnist" else 1
    shape = (28, 28, channels)
    params, apply_fn = models.create(run.network.model, 10, jax.random.key(0), shape=shape)
    rng = np.random.default_rng(0)

    def loss(params, images):
        return jnp.mean(jax.nn.logsumexp(apply_fn(params, images, key=None, train=True), axis=-1))

    def of(function, count) -> float:
        images = jnp.asarray(rng.random((count, *shape), np.float32))
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(params, images))
        taken = []
        for _ in range(5):
            start = time.monotonic()
            jax.block_until_ready(compiled(params, images))
            taken.append(time.monotonic() - start)
        return min(taken) / count

    forward = lambda params, images: apply_fn(params, images, key=None, train=False)  # noqa: E731
    return of(jax.grad(loss), 2 * _BATCH), of(forward, evaluate.AT_ONCE)
