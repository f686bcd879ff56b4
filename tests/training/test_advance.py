import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.data import feed
from dg_jax.training import advance, step
from tests.training import worlds


@pytest.mark.parametrize("strategy", ["deep_all", "agr_rand"])
def test_scan_on_the_device_equals_steps_from_python(strategy, tmp_path):
    """The form for accelerators, run on this backend; XLA may round the loop's body differently."""
    data = worlds.tiny_dataset()
    config = worlds.tiny_config(tmp_path, strategy=strategy)
    params, apply_fn = worlds.linear_model()
    sources = [data.domains[domain]["train"] for domain in config.sources]
    batches = feed.domain_batches(sources, jax.random.key(0), config.optimisation.batch_size)
    trainer = step.make_trainer(config, apply_fn, params, batches)

    def run(stepwise):
        take_steps = advance.Advance(trainer.step, batches, 0, stepwise=stepwise)
        state, losses = trainer.init(jax.tree.map(jnp.copy, params)), []
        while take_steps.done < 4:
            state, metrics = take_steps(state, 4 - take_steps.done)
            losses += [of_one.losses for of_one in take_steps.each(metrics)]
        assert take_steps.images_per_second() > 0
        return state, losses

    state, losses = run(True)
    scanned, scanned_losses = run(False)
    assert int(state.step) == int(scanned.step) == 4
    assert len(losses) == len(scanned_losses) == 4
    np.testing.assert_allclose(losses, scanned_losses, rtol=1e-5)
    for one, other in zip(jax.tree.leaves(state.params), jax.tree.leaves(scanned.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
