import jax
import jax.numpy as jnp
import pytest

from dg_jax import config, errors, models


def test_every_network_gives_logits_of_its_smallest_images_in_both_precisions():
    for name, size in models.SMALLEST_IMAGE.items():
        models.check(name, size)
        shape = (size, size, 3)
        for dtype in ("float32", "bfloat16"):
            if name.startswith(("alexnet", "resnet")) and dtype == "bfloat16":
                continue  # the same code, and the largest networks
            params, apply_fn = models.create(name, 5, jax.random.key(0), dtype=dtype, shape=shape)
            assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
            logits = jax.eval_shape(
                lambda params, images: apply_fn(params, images, key=None, train=False),  # noqa: B023
                params,
                jax.ShapeDtypeStruct((2, *shape), jnp.float32),
            )
            assert logits.shape == (2, 5) and logits.dtype == jnp.float32


def test_too_small_images_and_unknown_networks_are_refused():
    with pytest.raises(errors.UserError, match="--image-size=62: alexnet needs at least 63"):
        models.check("alexnet", 62)
    with pytest.raises(errors.UserError, match=r"unknown model 'alexnett'; .*did you mean alexnet"):
        models.check("alexnett", 224)


def test_the_command_line_knows_all_networks():
    assert sorted(models.MODELS) == sorted(config.MODELS)


def test_weights_are_drawn_from_the_key():
    one, same, other = (models.create("small_cnn", 3, jax.random.key(seed))[0] for seed in (0, 0, 1))
    leaves = [jax.tree.leaves(tree) for tree in (one, same, other)]
    assert all((a == b).all() for a, b in zip(leaves[0], leaves[1], strict=True))
    assert any((a != b).any() for a, b in zip(leaves[0], leaves[2], strict=True))
