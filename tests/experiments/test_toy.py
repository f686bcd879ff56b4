"""The two losses against NumPy, the program, and where the paths end."""

import jax
import numpy as np
import pytest

from experiments import toy


def losses(x, y, scale):
    """The two losses as Liu et al. write them."""
    above, below = max(np.tanh(0.5 * y), 0), max(np.tanh(-0.5 * y), 0)
    first = np.log(max(abs(0.5 * (-x - 7) - np.tanh(-y)), 5e-6)) + 6
    second = np.log(max(abs(0.5 * (-x + 3) + np.tanh(-y) + 2), 5e-6)) + 6
    first = first * above + (((-x + 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20) * below
    second = second * above + (((-x - 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20) * below
    return [scale * first, second]


def test_the_losses_are_those_of_the_paper():
    points = np.random.default_rng(0).uniform(-10, 10, (50, 2))
    for point in [*points, *toy.STARTS]:
        np.testing.assert_allclose(toy.losses(np.float32(point), 0.1), losses(*point, 0.1), rtol=2e-4, atol=2e-4)


def test_it_draws_and_prints_where_the_paths_end(tmp_path, capsys):
    flags = ["--combiners", "mean", "--output", str(tmp_path / "toy.png")]
    assert toy.main(flags) == 2 and "unknown combiner 'mean'" in capsys.readouterr().err
    assert toy.main([*flags[:1], "AgrSum", "krum", *flags[2:]]) == 2
    assert capsys.readouterr().err == "error: --combiners: krum needs settings that have no flags here\n"
    assert toy.main([*flags[:1], "deep_all", "upgrad", *flags[2:], "--steps=700"]) == 2
    assert not list(tmp_path.iterdir())
    capsys.readouterr()
    assert toy.main([*flags[:1], "deep_all", "Agr-Sum", *flags[2:], "--steps=500", "--scale=0.1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["deep_all", "agr_sum", str(tmp_path / "toy.png")]
    assert (tmp_path / "toy.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("combiner", ["cagrad", "aligned_mtl", "deep_all", "agr_sum"])
def test_where_the_paths_end(combiner):
    with jax.enable_x64(True):
        ends = toy.paths(combiner, scale=1.0, steps=100_000)[:, -1]
    at_minimum = np.abs(ends - [0, -8.3552]).max(axis=1) < 1e-2
    assert at_minimum.sum() == {"cagrad": 3, "aligned_mtl": 3, "deep_all": 1, "agr_sum": 0}[combiner]
