import csv
import io

import numpy as np
import pytest
from scipy import stats

from experiments.shortcut_control import tables as shortcut
from tests.analysis.made_accuracies import parse_markdown

METHODS = ("deep_all", "agr_sum", "pcgrad")


def made(num_seeds=8):
    """Measures of two targets at two strengths; Agr-Sum leans less than Deep-All, PCGrad has runs on one target."""
    rng = np.random.default_rng(0)

    def seeds(mean):
        return {seed: float(rng.normal(mean, 0.01)) for seed in range(num_seeds)}

    means = {"target": 0.4, "validation": 0.6, "shortcut": 0.5, "shortcut of apple": 0.55}
    return {
        name: {
            target: {
                strength: {
                    method: seeds(mean - (0.07 if (name, method) == ("shortcut", "agr_sum") else 0))
                    for method in METHODS
                    if (method, target) != ("pcgrad", "windows")
                }
                for strength in (0.5, 1.0)
            }
            for target in ("twitter", "windows")
        }
        for name, mean in means.items()
    }


def test_tables_and_csv_have_means_deviations_and_tests():
    measures = made()
    text = shortcut.to_markdown(measures)
    tables = parse_markdown(text)
    lines = list(csv.DictReader(io.StringIO(shortcut.to_csv(measures))))
    assert len(tables) == 5 and len(lines) == 5 * 2 * (3 + 2)
    names = [*measures, "lean"]
    stars = 0
    for name, (header, *rows) in zip(names, tables, strict=True):
        assert header == ["target", "strength", *METHODS]
        assert [row[:2] for row in rows] == [[t, s] for t in ("twitter", "windows") for s in ("0.5", "1")]
        for target, strength, *cells in rows:

            def values(method, name=name, target=target, strength=strength):
                def of(measure):
                    return np.array(list(measures[measure][target][float(strength)][method].values()))

                return of("shortcut") - of("target") if name == "lean" else of(name)

            for method, cell in zip(METHODS, cells, strict=True):
                if (method, target) == ("pcgrad", "windows"):
                    assert cell == "-"
                    continue
                mine = values(method)
                p = 1 if method == "deep_all" else stats.wilcoxon(mine, values("deep_all")).pvalue
                star = r"\*" if p < 0.05 else ""
                stars += bool(star)
                assert cell == f"{100 * mine.mean():.2f} ({100 * mine.std(ddof=1):.2f}){star}"
                key = (name, target, float(strength), method)
                [line] = [
                    one
                    for one in lines
                    if (one["measure"], one["target"], float(one["strength"]), one["method"]) == key
                ]
                assert float(line["mean"]) == pytest.approx(mine.mean())
                assert float(line["standard_deviation"]) == pytest.approx(mine.std(ddof=1))
                assert line["seeds"] == "8"
                assert (line["p"] == "") if method == "deep_all" else float(line["p"]) == pytest.approx(p)
    assert stars >= 8  # Agr-Sum's shortcut and lean, at least
    assert "Seeds in a cell: 8." in text


def test_a_single_seed_has_no_deviation_and_nothing_is_minus_zero():
    same = {"windows": {1.0: {"deep_all": {0: 0.3}, "agr_sum": {0: 0.3}}}}
    nearly = {"windows": {1.0: {"deep_all": {0: 0.3 - 1e-12}, "agr_sum": {0: 0.3}}}}
    text = shortcut.to_markdown({"target": same, "validation": same, "shortcut": nearly})
    assert "| windows | 1 | 0.00 | 0.00 |" in text and "-0.00" not in text
