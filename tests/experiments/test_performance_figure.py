import pytest

from experiments import performance_figure


def test_it_is_drawn_of_the_committed_measurements(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(performance_figure, "OUTPUT", tmp_path / "performance.png")
    performance_figure.main()
    assert capsys.readouterr().out == f"{tmp_path / 'performance.png'}\n"
    assert (tmp_path / "performance.png").stat().st_size > 10_000


def test_rows_are_those_of_a_table():
    of_tree = [row for row in performance_figure.rows("combiners-cpu", "combiners") if row["form"] == "tree"]
    assert [row["combiner"] for row in of_tree] == ["agr_sum", "agr_rand", "pcgrad", "deep_all", "group_dro"]
    assert all(performance_figure.median(row, "ours") > 1 for row in of_tree)
