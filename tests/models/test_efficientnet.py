import jax
import jax.numpy as jnp
import numpy as np

from tests.models import networks


def test_parameters_shapes_and_statistics_outside_the_parameters():
    params, apply_fn = networks.random("efficientnet_lite0", 8)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 3_381_256
    for size in (1, 32, 97):
        images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
        assert jax.eval_shape(apply_fn, params, images).shape == (2, 8)
    assert params["block0"]["depthwise"]["kernel"].shape == (3, 3, 1, 32)
    assert set(params["stem"]["bn"]) == {"scale", "bias"}
    assert set(apply_fn.constants["stem"]["bn"]) == {"mean", "var"}


def test_in_bfloat16_it_computes_in_it():
    from dg_jax.models import functional

    params, apply_fn = networks.random("efficientnet_lite0", 3)
    low = functional.computing_in(apply_fn, "bfloat16")
    shape = jax.eval_shape(low, params, np.ones((1, 32, 32, 3), np.float32))
    assert shape.dtype == jnp.float32
