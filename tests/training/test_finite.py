import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import errors
from dg_jax.training import finite, step

SOURCES = ("apple", "google", "windows")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_domain_of_a_broken_loss_is_named(value):
    losses = np.array([1.0, value, 2.0], np.float32)
    with pytest.raises(errors.RunError, match=f"^the loss of google is {value} at step 7; "):
        finite.check_losses(losses, 7, SOURCES)
    finite.check_losses(np.ones(3), 7, SOURCES)


def test_losses_that_are_of_no_single_domain_name_all():
    with pytest.raises(errors.RunError, match="the validation loss of apple, google, windows is nan at step 2"):
        finite.check_losses(np.array([np.nan]), 2, SOURCES, what="validation loss")


def test_of_several_seeds_the_seed_is_named():
    losses = np.ones(3)
    finite.check_losses(losses, 1, SOURCES, seed=5)
    losses[2] = np.nan
    with pytest.raises(errors.RunError, match="the loss of seed 5 of windows is nan at step 1"):
        finite.check_losses(losses, 1, SOURCES, seed=5)


@pytest.mark.parametrize("where", ["params", "opt_state"])
def test_a_broken_number_of_the_state_is_found_wherever_it_is(where):
    good = step.TrainState({"w": jnp.ones(3)}, {"nu": jnp.ones(3), "count": jnp.zeros([], int)}, jnp.int32(4), None)
    finite.check_state(good, 4)
    broken = {"params": {"w": jnp.array([1, jnp.nan, 1])}, "opt_state": {"nu": jnp.array([1, jnp.inf, 1])}}[where]
    with pytest.raises(errors.RunError, match="not finite after step 4"):
        finite.check_state(good._replace(**{where: broken}), 4)
    with pytest.raises(errors.RunError, match="the parameters of a seed"):
        finite.check_state(good._replace(**{where: broken}), 4, of_seeds=True)
