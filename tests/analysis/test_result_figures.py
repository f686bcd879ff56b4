"""What is drawn, read from Matplotlib's artists."""

import numpy as np
import pytest
from matplotlib import colors, patches

from dg_jax.analysis import result_figures, table
from tests.analysis import made_accuracies
from tests.analysis.made_accuracies import METHODS, TARGETS


def with_marker(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_box_plots_have_a_box_with_triangle_median_whiskers_and_star_for_each_cell():
    accuracies = made_accuracies.make()
    del accuracies["photo"]["irm"]
    summary = table.summarize(accuracies, METHODS, TARGETS)
    figure = result_figures.box_plots(summary)
    (axes,) = figure.axes
    places = {(target, method): 9.5 * j + i for j, target in enumerate(TARGETS) for i, method in enumerate(METHODS)}
    places.pop(("photo", "irm"))
    cell_at = {place: summary.cells[target][method] for (target, method), place in places.items()}

    boxes = {box.get_path().vertices[:4, 0].mean(): box for box in axes.patches}
    assert sorted(boxes) == pytest.approx(sorted(cell_at))
    for place, box in boxes.items():
        percent = 100 * np.array(list(cell_at[place].accuracies.values()))
        corners = box.get_path().vertices[:, 1]
        np.testing.assert_allclose([corners.min(), corners.max()], np.percentile(percent, [25, 75]))

    triangles = {line.get_xdata()[0]: line for line in with_marker(axes, "^")}
    assert sorted(triangles) == pytest.approx(sorted(cell_at))
    for place, triangle in triangles.items():
        assert triangle.get_ydata()[0] == pytest.approx(100 * cell_at[place].mean)
        red, green, blue = colors.to_rgb(triangle.get_markerfacecolor())
        assert green > max(red, blue)

    level = {(np.mean(line.get_xdata()), *line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 2}
    for place, cell in cell_at.items():
        percent = [100 * accuracy for accuracy in cell.accuracies.values()]
        for height in (np.median(percent), min(percent), max(percent)):
            assert any(np.allclose(line, (place, height, height)) for line in level)

    stars = {text.xy[0]: text.xy[1] for text in axes.texts if text.get_text() == "*"}
    assert stars.keys() == {place for place, cell in cell_at.items() if cell.significant}
    assert len(stars) >= 3
    for place, height in stars.items():
        assert height == pytest.approx(100 * max(cell_at[place].accuracies.values()))

    assert [label.get_text() for label in axes.get_xticklabels()] == list(TARGETS)
    assert labels(figure) == [*METHODS, "mean", "p < 0.05 against deep_all"]
    assert axes.get_xlabel() == "target domain"


def test_each_method_has_one_colour_and_no_two_the_same_look():
    methods = [f"method {i}" for i in range(11)]
    summary = table.summarize(made_accuracies.make(methods, ["a", "b"], num_seeds=2), methods, ["a", "b"])
    figure = result_figures.box_plots(summary)
    looks = [(box.get_facecolor(), box.get_hatch()) for box in figure.axes[0].patches]
    by_method = [set(looks[2 * i : 2 * i + 2]) for i in range(11)]
    assert all(len(look) == 1 for look in by_method) and len(set.union(*by_method)) == 11
    handles = figure.legends[0].get_patches()
    assert [(handle.get_facecolor(), handle.get_hatch()) for handle in handles] == looks[::2]


def test_box_plots_say_that_no_star_could_appear():
    summary = table.summarize(made_accuracies.make(num_seeds=5), METHODS, TARGETS)
    figure = result_figures.box_plots(summary)
    assert "With fewer than 6 pairs that differ, p cannot be below 0.05" in figure.axes[0].get_xlabel()
    assert labels(figure) == [*METHODS, "mean"] and not figure.axes[0].texts


def test_bars_are_means_with_deviations_white_beside_grey():
    methods = METHODS[1:4]
    multi, single = made_accuracies.make(methods, num_seeds=4), made_accuracies.make(methods, num_seeds=1, seed=1)
    del single["photo"]["pcgrad"]
    figure = result_figures.bars(multi, single, methods, TARGETS)
    assert [axes.get_title() for axes in figure.axes] == list(TARGETS)
    assert labels(figure) == ["multi-domain batches", "single-domain batches"]
    for axes, target in zip(figure.axes, TARGETS, strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == list(methods)
        bars = {round(bar.get_x() + bar.get_width() / 2, 6): bar for bar in axes.patches}
        bar_errors = [segment for lines in axes.collections for segment in lines.get_segments()]
        expected = [(multi, -0.2, "white"), (single, 0.2, "0.7")]
        assert len(bars) == sum(len(accuracies[target]) for accuracies, _, _ in expected)
        for accuracies, side, colour in expected:
            for i, method in enumerate(methods):
                if method not in accuracies[target]:
                    continue
                percent = 100 * np.array(list(accuracies[target][method].values()))
                bar = bars[round(i + side, 6)]
                assert bar.get_height() == pytest.approx(percent.mean()) and bar.get_y() == 0
                assert bar.get_facecolor() == colors.to_rgba(colour)
                if len(percent) > 1:
                    reach = percent.mean() + percent.std(ddof=1) * np.array([-1, 1])
                    assert any(np.allclose(s, [(i + side, reach[0]), (i + side, reach[1])]) for s in bar_errors)
        assert len(bar_errors) == len(methods)  # a single seed has no deviation


def test_heat_map_has_every_accuracy_and_a_frame_round_the_best():
    grid = {(1e-3, 0.0): 0.5, (1e-4, 0.0): 0.61, (1e-4, 5e-5): 0.4, (1e-2, 5e-5): 0.25, (1e-3, 5e-5): 0.6}
    (axes,) = result_figures.heat_map(grid).axes
    rates, decays = ([label.get_text() for label in get()] for get in (axes.get_yticklabels, axes.get_xticklabels))
    assert (rates, decays) == (["1e-4", "1e-3", "1e-2"], ["0", "5e-5"])
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, [[61, 40], [50, 60], [np.nan, 25]])
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "61.00", (1, 0): "40.00", (0, 1): "50.00", (1, 1): "60.00", (1, 2): "25.00"}
    (frame,) = [patch for patch in axes.patches if isinstance(patch, patches.Rectangle)]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((-0.5, -0.5), 1, 1)
