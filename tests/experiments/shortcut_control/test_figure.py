import numpy as np

from experiments.shortcut_control import figure as shortcut_figure
from experiments.shortcut_control import tables
from tests.analysis.drawn import lines_of
from tests.experiments.shortcut_control import test_tables


def test_a_panel_for_each_measure_and_target_with_the_means_over_strength():
    measures = test_tables.made()
    figure = shortcut_figure.over_strength(measures)
    complete = tables.with_lean(measures)
    panels = np.array(figure.axes).reshape(4, 2)
    assert [axes.get_title() for axes in panels[0]] == ["target twitter", "target windows"]
    for row, name in zip(panels, ("target", "validation", "shortcut", "lean"), strict=True):
        for axes, target in zip(row, ("twitter", "windows"), strict=True):
            lines = lines_of(axes)
            assert list(lines) == list(test_tables.METHODS)
            for method, (x, y, ends) in lines.items():
                if method not in complete[name][target][0.5]:
                    assert not x.size
                    continue
                np.testing.assert_allclose(x, [0.5, 1.0], atol=0.02)
                values = 100 * np.array([list(complete[name][target][s][method].values()) for s in (0.5, 1.0)])
                np.testing.assert_allclose(y, values.mean(axis=1))
                deviation = values.std(axis=1, ddof=1)
                np.testing.assert_allclose(ends, np.transpose([y - deviation, y + deviation]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(test_tables.METHODS)
