import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.config import methods
from dg_jax.training import swad


def followed(losses, settings, steps=2):
    """The valley after validations with these losses; the segment that ends at validation k is 10^k."""
    valley = swad.init({"w": jnp.zeros(1)}, settings)
    for k, loss in enumerate(losses, 1):
        valley = swad.after_validation(valley, {"w": jnp.full(1, 10.0**k)}, steps, loss, settings)
    return valley


def algorithm_1(losses, settings):
    """First and last segment of the mean, counted from 1, after the paper's pseudocode."""
    start = end = threshold = None
    for i in range(1, len(losses) + 1):
        if threshold is None:
            window = losses[i - settings.n_converge : i] if i >= settings.n_converge else []
            if window and window[0] == min(window):
                start, threshold = i - settings.n_converge + 1, (1 + settings.tolerance_ratio) * np.mean(window)
        elif i >= settings.n_tolerance and min(losses[i - settings.n_tolerance : i]) > threshold:
            end = i - settings.n_tolerance
            break
    if start is None:
        return len(losses), len(losses)
    if end is None:  # the training ends first: too high losses at the end do not count
        end = max(i for i, loss in enumerate(losses, 1) if loss <= threshold)
    return min(start + 1, max(end, start)), max(end, start)


@pytest.mark.parametrize("n_converge", [1, 2, 3, 5])
@pytest.mark.parametrize("n_tolerance", [1, 3, 6])
def test_the_segments_are_those_of_the_paper(n_converge, n_tolerance):
    settings = methods.Swad(n_converge, n_tolerance, tolerance_ratio=0.3)
    rng = np.random.default_rng(n_converge)
    for length in (1, 2, 4, 8, 14, 20):
        for shape in ("valley", "noise", "falling"):
            t = np.arange(length)
            losses = {
                "valley": 1 + ((t - length / 2) / 4) ** 2 + 0.05 * rng.normal(size=length),
                "noise": 1 + rng.uniform(size=length),
                "falling": 2.0 - t / length,
            }[shape].astype(np.float32)
            first, last = algorithm_1(losses.tolist(), settings)
            expected = np.mean(10.0 ** np.arange(first, last + 1))
            found = swad.average(followed(losses.tolist(), settings))["w"]
            np.testing.assert_allclose(found, [expected], rtol=1e-5, err_msg=f"{shape} {losses}")


def test_a_short_segment_counts_by_its_steps():
    settings = methods.Swad(n_converge=2, n_tolerance=2)
    valley = followed([1.0, 1.1, 1.1, 1.1], settings, steps=4)
    valley = swad.after_validation(valley, {"w": jnp.zeros(1)}, 1, 1.1, settings)
    np.testing.assert_allclose(swad.average(valley)["w"], [4 * (1e2 + 1e3 + 1e4) / 13], rtol=1e-5)


def test_after_the_end_nothing_changes():
    settings = methods.Swad(n_converge=2, n_tolerance=2)
    losses = [1.0, 1.1, 1.2, 9.0, 9.0]
    ended = followed(losses, settings)
    assert (int(ended.start), int(ended.end)) == (1, 3)
    later = followed([*losses, 1.0, 0.1, 0.1], settings)
    np.testing.assert_array_equal(swad.average(later)["w"], swad.average(ended)["w"])
