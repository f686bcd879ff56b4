import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dg_jax import surgery
from tests.surgery import reference


def eager_readings(stacked, state):
    """Results and states by ``zeros``; the seed is only in the state."""
    return {zeros: surgery.agr_rand(zeros=zeros).update(stacked, state) for zeros in reference.ZEROS}


all_readings = jax.jit(eager_readings)  # one compiled program


def update(stacked, state):
    return all_readings(stacked, state)["agree"]


@pytest.mark.parametrize("jit", [False, True])
def test_equals_equation_4(jit):
    updated = all_readings if jit else eager_readings
    of_shapes = reference.SHAPES if jit else reference.EAGER_SHAPES

    @given(reference.stacks(of_shapes=of_shapes), st.sampled_from(reference.ZEROS), st.integers(0, 2**31))
    def check(stacked, zeros, seed):
        result, state = updated(stacked, surgery.agr_rand(seed).init(None))[zeros]
        rows = reference.flat(stacked)
        agrees = reference.agree(rows, zeros)
        sigma = reference.sigma(rows, zeros)
        np.testing.assert_allclose(
            reference.flat_result(result)[agrees],
            rows.sum(axis=0)[agrees],
            rtol=1e-5,
            atol=1e-6 * np.abs(rows).max(),
        )
        np.testing.assert_allclose(state.sigma, sigma, rtol=1e-4)
        np.testing.assert_allclose(state.agreement, reference.agreement(rows, zeros), rtol=1e-6)
        noise = reference.flat_result(result)[~agrees]
        assert np.all(np.abs(noise) <= 7 * sigma * (1 + 1e-4))
        assert sigma == 0 or np.all(noise != 0)

    check()


def test_noise_is_normal_with_the_sigma_of_the_whole_tree():
    rng = np.random.default_rng(0)
    conflict = np.stack([np.ones(200_000), -np.ones(200_000)]).astype(np.float32)
    stacked = {"agreeing": np.abs(rng.normal(size=(2, 1000))).astype(np.float32), "conflicting": conflict}
    result, state = update(stacked, surgery.agr_rand(key=1).init(None))
    np.testing.assert_allclose(state.sigma, reference.sigma(reference.flat(stacked)), rtol=1e-5)
    assert stats.kstest(np.asarray(result["conflicting"]) / state.sigma, "norm").pvalue > 0.01


def test_two_leaves_of_one_shape_get_different_noise():
    leaf = np.array([[1.0, 1.0], [1.0, -1.0]], np.float32)
    result = jax.device_get(update({"a": leaf, "b": leaf}, surgery.agr_rand().init(None))[0])
    assert result["a"][1] != result["b"][1]


def test_each_update_and_each_seed_draws_other_numbers_and_a_seed_draws_the_same():
    stacked = np.array([[1.0, 1.0], [1.0, -1.0]], np.float32)
    first, state = update(stacked, surgery.agr_rand(key=3).init(None))
    second, _ = update(stacked, state)
    again, _ = update(stacked, surgery.agr_rand(key=3).init(None))
    other, _ = update(stacked, surgery.agr_rand(key=4).init(None))
    first, second, again, other = (np.asarray(result)[1] for result in (first, second, again, other))
    assert first == again
    assert len({first, second, other}) == 3


def test_no_agreement_gives_zero():
    stacked = np.array([[1.0, -2.0], [-1.0, 2.0]], np.float32)
    result, state = update(stacked, surgery.agr_rand().init(None))
    np.testing.assert_array_equal(result, [0, 0])
    assert state.sigma == 0


def test_dead_components_stay_zero_or_get_noise_as_zeros_says():
    stacked = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    results = all_readings(stacked, surgery.agr_rand().init(None))
    agreeing, state = results["agree"]
    assert np.asarray(agreeing)[1] == 0 and state.sigma == 1 and state.agreement == 1
    conflicting, state = results["conflict"]
    assert np.asarray(conflicting)[1] != 0 and state.sigma == 2 and state.agreement == 0.5
    abstaining, state = results["abstain"]
    assert np.asarray(abstaining)[1] == 0 and state.sigma == 2 and state.agreement == 1


def test_vmap_over_seeds_equals_one_by_one():
    stacked = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)

    def draw(seed):
        combiner = surgery.agr_rand(seed)
        return combiner.update(stacked, combiner.init(None))[0]

    together = np.asarray(jax.jit(jax.vmap(draw))(np.arange(4)))
    for seed in range(4):
        alone, _ = update(stacked, surgery.agr_rand(seed).init(None))
        np.testing.assert_allclose(together[seed], alone, rtol=1e-6)
