import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import objectives, surgery
from dg_jax.models import fast
from dg_jax.models.fast import large, on_accelerator, on_cpu
from dg_jax.objectives.erm import erm
from dg_jax.objectives.loss import cross_entropy
from dg_jax.surgery import _value_and_grads
from tests import quick
from tests.models import networks
from tests.objectives.worlds import (
    KEY,
    apply_fn,
    apply_with_dropout,
    changed_rows,
    domain_batch,
    evaluate,
    parameters,
    with_other_images,
)

ERM = erm(apply_fn)


def test_row_i_of_erm_is_the_gradient_of_domain_i():
    params, batch = parameters(), domain_batch()
    losses, rows = evaluate(ERM, batch)
    assert losses.shape == (3,)

    @quick.jit
    @jax.value_and_grad
    def risk(params, images, labels):
        logits = apply_fn(params, images, key=None, train=True)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(5), labels])

    for domain in range(3):
        ours = losses[domain], jax.tree.map(lambda leaf: leaf[domain], rows)  # noqa: B023
        expected = risk(params, batch["image"][domain], batch["label"][domain])
        chex.assert_trees_all_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_a_row_of_erm_depends_on_its_own_domain_only():
    batch = domain_batch()
    for domain in range(3):
        changed = changed_rows(ERM, batch, with_other_images(batch, domain))
        assert changed == [row == domain for row in range(3)]


def test_dropout_differs_between_the_rows_and_the_keys():
    one = domain_batch(1)
    same = {name: np.repeat(leaf, 3, axis=0) for name, leaf in one.items()}
    objective = erm(apply_with_dropout)
    losses, _ = evaluate(objective, same)
    others, _ = evaluate(objective, same, key=jax.random.key(1))
    assert len({*losses.tolist(), *others.tolist()}) == 6


@pytest.mark.parametrize("device", [on_cpu, on_accelerator])
@pytest.mark.parametrize("multiplications", [0, 1e9])
def test_vmap_and_one_row_after_the_other_agree_on_a_convolutional_network(monkeypatch, device, multiplications):
    def convolve(x, kernel, stride, padding):
        return device.choose(x, kernel, stride)(x, kernel, stride, padding)

    monkeypatch.setattr(large, "LARGE", multiplications)
    monkeypatch.setattr(fast, "convolve", convolve)
    params, network = networks.random("small_cnn", 5)

    def loss(params, images, labels):
        return cross_entropy(network(params, images, train=True), labels)

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 4, 8, 8, 3)).astype(np.float32), rng.integers(5, size=(2, 4))
    together = quick.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0, 0)))(params, *rows)
    one_by_one = quick.jit(_value_and_grads.unrolled(loss))(params, *rows)
    chex.assert_trees_all_equal_shapes_and_dtypes(together, one_by_one)
    chex.assert_trees_all_close(together, one_by_one, rtol=1e-4, atol=1e-6)
    assert all(np.max(np.abs(leaf)) > 1e-3 for leaf in jax.tree.leaves(together))


@pytest.mark.parametrize("form", ["stacked", "accumulated", "two_pass"])
@pytest.mark.parametrize("name", ["erm", "irm", "mixup", "mldg"])
def test_every_form_has_the_same_dropout_losses_and_gradient(name, form):
    settings = {"mldg": {"learning_rate": 1e-2, "weight_decay": 1e-3}, "irm": {"anneal_steps": 1}}.get(name, {})
    objective, stacked = (
        getattr(objectives, name)(apply_with_dropout, form=which, **settings) for which in (form, "stacked")
    )

    @quick.jit
    def mean(params, batch):
        results = []
        for each in (objective, stacked):
            losses, jacobian = each(params, batch, key=KEY, step=0)
            combiner = surgery.deep_all()
            results.append((losses, combiner.update(jacobian, combiner.init(params), params)[0]))
        return results

    in_form, expected = mean(parameters(), domain_batch())
    chex.assert_trees_all_close(in_form, expected, rtol=1e-5, atol=1e-7)
