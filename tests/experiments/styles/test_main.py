import pytest

from experiments.styles import __main__ as styles
from experiments.styles import stored
from tests.experiments.styles import test_tables


def test_tables_and_figures_are_made_again_of_the_file(tmp_path, capsys):
    path = tmp_path / "some.csv"
    path.write_text(stored.to_csv({"three": test_tables.HISTORIES, "single_domain": test_tables.OF_ONE_SOURCE}))
    assert styles.main([f"--recompute={path}", f"--results-dir={tmp_path}"]) == 0
    assert "## three" in capsys.readouterr().out
    names = {file.name for file in (tmp_path / "styles").iterdir()}
    stems = ("three", "three-figure3", "single_domain", "single_domain-figure3", "figure4")
    assert names == {"styles.md", "validations.csv"} | {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")}
    assert (tmp_path / "styles" / "validations.csv").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dataset=emoji"], "--dataset=emoji: this experiment is on styles; leave it out"),
        (
            ["--studies", "four"],
            "--studies four: there are: three, eight, single_domain, other_targets, ",
        ),
        (["--targets=line"], "--targets: a study has its own; leave it out"),
        (["--domains", "apple", "line"], "--domains: a study has its own; leave it out"),
        (["--batch-size=8"], "--batch-size: a study has its own; leave it out"),
        (["--batches=single_domain"], "--batches: a study has its own; leave it out"),
        (["--preset=paper"], "--preset: a study has its own; leave it out"),
        (["--learning-rate-drop=100:0.1"], "--learning-rate-drop: a study has its own; leave it out"),
        (["--iterations=8"], "--iterations: a study has its own; leave it out"),
        (["--recompute=missing.csv"], "missing.csv cannot be read"),
    ],
)
def test_bad_input_is_one_line(flags, said, capsys):
    assert styles.main(flags) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")
