import numpy as np

from dg_jax.objectives import loss


def test_cross_entropy_is_the_mean_of_minus_the_logarithm_of_the_probability():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(7, 5)) * 10, rng.integers(0, 5, 7)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(7), labels]).mean()
    np.testing.assert_allclose(loss.cross_entropy(logits.astype(np.float32), labels), expected, rtol=1e-5)
