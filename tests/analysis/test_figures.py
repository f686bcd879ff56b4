import numpy as np
import pytest
from PIL import Image

from dg_jax.analysis import figures, similarity_figures


def test_files_are_whole_and_small_or_not_there(tmp_path):
    figure = similarity_figures.heat_map(np.arange(2), ["kernel"], np.zeros((2, 1)), "title")
    for name, start in (("new/folder/figure.png", b"\x89PNG"), ("figure.pdf", b"%PDF")):
        figures.save(figure, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with Image.open(tmp_path / "new/folder/figure.png") as image:
        assert image.mode == "P"
    with pytest.raises(OSError, match=r"figure\.pdf"):
        figures.save(figure, tmp_path / "figure.pdf/figure.png")
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(("name", "shown"), [("a$b$", r"a\$b\$"), ("a\nb", "a\\nb"), ("plain", "plain")])
def test_a_label_is_no_formula_and_has_one_line(name, shown):
    assert figures.label(name) == shown
