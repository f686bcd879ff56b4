import pytest
from matplotlib.figure import Figure

from dg_jax import errors
from experiments import pictures


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path):
    pictures.save(Figure(), tmp_path / "figure.pdf")
    with pytest.raises(errors.UserError, match=r"cannot write .*figure.pdf/figure.png: "):
        pictures.save(Figure(), tmp_path / "figure.pdf/figure.png")
