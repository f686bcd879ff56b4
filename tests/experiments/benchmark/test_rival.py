"""The combiners and networks in PyTorch give the same numbers as ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models, surgery
from dg_jax.errors import UserError
from tests.surgery import reference

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[benchmark]'")

from experiments.benchmark import combiners, stacks, step  # noqa: E402
from experiments.benchmark.rival import combiners as rival  # noqa: E402
from experiments.benchmark.rival import device, networks  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def stack():
    return stacks.flat(3, 5000)


def updated(combiner, stack, **extra):
    return combiner.update(jnp.asarray(stack), combiner.init(jnp.zeros(stack.shape[1])), **extra)


def test_agr_sum(stack):
    theirs = rival.agr_sum(torch.from_numpy(stack)).numpy()
    np.testing.assert_allclose(theirs, updated(surgery.agr_sum(), stack)[0], atol=1e-6)
    np.testing.assert_allclose(theirs, reference.agr_sum(stack), atol=1e-6)
    assert 0.05 < (theirs != 0).mean() < 0.5


def test_agr_rand_agrees_in_all_but_the_noise(stack):
    rows = torch.from_numpy(stack)
    theirs, agreeing = rival.agr_rand(rows).numpy(), rival.agree(rows).numpy()
    ours, state = updated(surgery.agr_rand(), stack)
    np.testing.assert_array_equal(agreeing, reference.agree(stack))
    np.testing.assert_allclose(theirs[agreeing], ours[agreeing], atol=1e-6)
    assert rival.sigma(rows.sum(0), rival.agree(rows)).item() == pytest.approx(float(state.sigma), rel=1e-5)
    assert theirs[~agreeing].std() == pytest.approx(float(state.sigma), rel=0.1)


def test_pcgrad_of_two_rows(stack):
    theirs = rival.pcgrad(torch.from_numpy(stack[:2])).numpy()
    np.testing.assert_allclose(theirs, updated(surgery.pcgrad(), stack[:2])[0], atol=1e-5)
    assert np.abs(theirs - stack[:2].sum(0)).max() > 0.01  # the rows conflict


def test_pcgrad_of_three_rows_in_some_order(stack):
    theirs = rival.pcgrad(torch.from_numpy(stack)).numpy()
    orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    rows = stack.astype(np.float64)
    differences = [
        np.abs(theirs - sum(reference.project(rows, i, order) for i, order in enumerate((a, b, c)))).max()
        for a in orders
        for b in orders
        for c in orders
    ]
    assert min(differences) < 1e-5 < max(differences)


@pytest.mark.parametrize("combiner", ["agr_rand", "pcgrad", "group_dro"])
def test_check_accepts_combiners_of_the_benchmark(combiner, stack):
    combiners.check(combiner, stack)


def test_check_refuses_other_numbers(monkeypatch, stack):
    monkeypatch.setattr(rival, "agr_sum", lambda stack: stack.sum(0))
    with pytest.raises(UserError, match="agr_sum, flat, plain: ours and the rival differ"):
        combiners.check("agr_sum", stack)


def test_alexnet_has_our_parameters():
    params, apply_fn = models.create("alexnet", 7, jax.random.key(0))
    network = networks.create("alexnet", params, device.set_up()).eval()
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        theirs = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    ours = np.asarray(jax.jit(apply_fn)(params, images))
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert ours.std() > 1e-3


@pytest.mark.parametrize("strategy", ["pcgrad", "group_dro"])
def test_one_step_of_small_cnn(strategy):
    step.check(step.run_config("small_cnn", strategy, 4))


def test_a_step_with_another_combiner_is_refused(monkeypatch):
    from experiments.benchmark.rival import training

    monkeypatch.setitem(training.COMBINERS, "agr_sum", lambda stack: stack.sum(0))
    with pytest.raises(UserError, match="agr_sum, gradient of"):
        step.check(step.run_config("small_cnn", "agr_sum", 4))
