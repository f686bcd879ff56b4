"""Networks and layers with arrays from NumPy: drawing them from a key compiles a program for each shape."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from dg_jax import models


def random_module(build):
    """The module that ``build()`` makes; its vectors, variances included, lie between 0.5 and 1."""
    module = nnx.eval_shape(build)
    rng = np.random.default_rng(0)
    state = nnx.state(module)
    for _, variable in nnx.to_flat_state(state):
        shape = variable.shape
        if len(shape) == 1:
            values = rng.uniform(0.5, 1, shape)
        else:
            values = (rng.random(shape, np.float32) * 2 - 1) / np.float32(np.sqrt(np.prod(shape[:-1])))
        variable.set_value(jnp.asarray(values, jnp.float32))
    nnx.update(module, state)
    return module


def random(name, num_classes):
    """``(params, apply_fn)``, as :func:`dg_jax.models.create` returns them."""
    return models.split(random_module(lambda: models.MODELS[name](num_classes, rngs=nnx.Rngs(0))))


class Linear(nnx.Module):
    """One dense layer on pictures of 8 × 8 pixels, for tests of runs in which the network does not matter."""

    last_layer: ClassVar[str] = "dense"

    def __init__(self, num_classes, *, rngs):
        self.dense = nnx.Linear(192, num_classes, kernel_init=_zeros, bias_init=_zeros, rngs=rngs)

    def features(self, images, *, key=None, train=False):
        return images.reshape(len(images), -1)


def _zeros(key, shape, dtype=jnp.float32, **options):
    return jnp.asarray(np.zeros(shape, dtype))
