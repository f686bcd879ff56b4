import pytest

from experiments.finetune import validations
from experiments.styles import __main__ as styles
from experiments.styles import stored, studies


def test_tables_and_figures_are_made_again_of_the_file(tmp_path, capsys):
    path = tmp_path / "some.csv"
    found = {
        name: {
            target: {method: {0: validations.History([20], [0.5], [0.25])} for method in studies.methods(name)}
            for target in studies.STUDIES[name].targets
        }
        for name in ("three", "single_domain")
    }
    path.write_text(stored.to_csv(found))
    assert styles.main([f"--recompute={path}", f"--results-dir={tmp_path}"]) == 0
    assert "## three" in capsys.readouterr().out
    names = {file.name for file in (tmp_path / "styles").iterdir()}
    stems = ("three", "three-figure3", "single_domain", "single_domain-figure3", "figure4")
    assert names == {"styles.md", "validations.csv"} | {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")}
    assert (tmp_path / "styles" / "validations.csv").read_text() == path.read_text()
    assert styles.main([f"--recompute={path}", f"--results-dir={tmp_path / 'one'}", "--studies", "three"]) == 0
    assert {file.stem for file in (tmp_path / "one/styles").glob("*.png")} == {"three", "three-figure3"}
    assert styles.main([f"--recompute={path}", f"--results-dir={tmp_path / 'none'}", "--studies", "two"]) == 2
    assert "some.csv has none of them" in capsys.readouterr().err and not (tmp_path / "none").exists()


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
