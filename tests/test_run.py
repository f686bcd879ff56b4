"""The command line as a user sees it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dg_jax import config, models, run, strategies
from dg_jax.data import registry
from dg_jax.training import interrupt, progress
from tests import printed

TINY = [
    "--dataset=emoji",
    "--iterations=4",
    "--batch-size=4",
    "--val-every=2",
    "--image-size=8",
    "--domains",
    "apple",
    "google",
    "windows",
]


@pytest.fixture
def command(emoji_dir, tmp_path, capsys, quick_steps):
    """Calls the command line in this process: ``command(*flags) -> (exit code, stdout, stderr)``."""

    def call(*flags):
        code = run.main([*TINY, f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path / 'results'}", *flags])
        said = capsys.readouterr()
        return code, said.out, printed.without_progress(said.err)

    return call


def test_a_run_ends_in_a_table_and_a_result(command, tmp_path):
    code, out, err = command("--strategy=agr_sum")
    assert code == 0
    assert "test (windows, 246 pictures), selected parameters" in out
    assert err == ""
    result = json.loads((tmp_path / "results/emoji/windows/agr_sum/seed-0/result.json").read_text())
    assert result["sources"] == ["apple", "google"]
    assert f"{100 * result['test_accuracy']:.1f}%" in out


def test_a_finished_run_is_not_done_again_unless_asked(command, tmp_path):
    file = tmp_path / "results/emoji/windows/deep_all/seed-0/result.json"
    command("--strategy=deep_all")
    first = file.read_text()
    code, out, err = command("--strategy=deep_all")
    assert code == 0
    assert f"done already: {file}" in err
    assert "test (windows)" in out
    assert file.read_text() == first
    command("--strategy=deep_all", "--overwrite")
    second = json.loads(file.read_text())
    assert second["wall_seconds"] != json.loads(first)["wall_seconds"]
    assert second["test_loss"] == json.loads(first)["test_loss"]


def test_other_settings_under_the_same_name_are_refused(command):
    command("--strategy=deep_all")
    code, _, err = command("--strategy=deep_all", "--learning-rate=0.5")
    assert code == 2
    assert "--learning-rate is 0.5, but the run in" in err
    code, _, err = command("--strategy=deep_all", "--iterations=2")
    assert code == 2
    assert "--iterations=2: the finished run in" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--strategy=average"], "unknown strategy 'average'; there are: deep_all, agr_sum"),
        (["--dataset=mnist"], "unknown dataset 'mnist'; there are: emoji"),
        (["--target=moon"], "unknown --target for --dataset=emoji: 'moon'; there are: apple, facebook"),
        (["--target=twitter"], "--target=twitter is not among --domains apple google windows"),
        (["--domains", "apple", "moon"], "'moon'; there are: apple, facebook"),
        (["--domains", "windows"], "leaves no source beside the target"),
        (["--domains", "apple", "windows", "windows"], "--domains names a domain twice"),
        (
            ["--model=vgg"],
            "unknown model 'vgg'; there are: alexnet, efficientnet_lite0, mlp, mnist_cnn, resnet18, resnet50, sm",
        ),
        (["--model=alexnet"], "--image-size=8: alexnet needs at least 63"),
        (["--batch-size=865"], "--batch-size=865 is larger than the training part of apple, 864 images"),
        (["--iterations=0"], "--iterations=0: give a whole number of at least 1"),
        (["--batch-size=-3"], "--batch-size=-3: give a whole number of at least 1"),
        (["--val-every=0"], "--val-every=0: give"),
        (["--hidden-layers=2"], "--hidden-layers is for --model=mlp, and this run has --model=small_cnn; leave it out"),
        (["--model=mlp", "--hidden-layers=0"], "--hidden-layers=0: give a whole number from 1 to 100"),
        (
            ["--frozen-layers", "conv1", "conv2"],
            "--frozen-layers conv1 conv2: they would keep random weights; give --weights",
        ),
        (["--frozen-layers", "conv1", "conv1"], "--frozen-layers conv1 conv1 names a layer twice; name each once"),
        (["--image-size=0"], "--image-size=0: give"),
        (["--learning-rate=0"], "--learning-rate=0.0: give a positive number"),
        (["--learning-rate=nan"], "--learning-rate=nan: give a positive number"),
        (["--weight-decay=-1"], "--weight-decay=-1.0: give a number of at least 0"),
        (["--seed=-1"], "--seed=-1: give a whole number from 0"),
        (["--iterations=many"], "Error parsing --iterations"),
        (["--no-such-flag=3"], "--no-such-flag"),
        (["--preset=best"], "--preset"),
        (["--resume", "--overwrite"], "--resume and --overwrite exclude each other"),
        (
            ["--combiner=average"],
            "unknown combiner 'average'; there are: deep_all, agr_sum, agr_rand, pcgrad, group_dro",
        ),
        (["--strategy=mixup", "--mixup.alpha=0"], "--mixup.alpha=0.0: give a positive number"),
        (["--strategy=irm", "--irm.penalty-weight=-1"], "--irm.penalty-weight=-1.0: give a number of at least 0"),
        (["--strategy=irm", "--irm.anneal-steps=-1"], "--irm.anneal-steps=-1: give a whole number of at least 0"),
        (["--strategy=irm", "--batch-size=1"], "--batch-size=1: --strategy=irm needs at least 2"),
        (
            ["--domains", "apple", "windows", "--strategy=mldg"],
            "--strategy=mldg needs two sources, --domains apple windows leaves one",
        ),
        (["--strategy=group_dro", "--group-dro.step-size=0"], "--group-dro.step-size=0.0: give a positive number"),
        (["--combiner=group_dro", "--group-dro.step-size=inf"], "--group-dro.step-size=inf: give a positive number"),
        (["--mldg.beta=2"], "--mldg.beta is set, but this run uses agr_sum and erm; leave it out"),
        (["--mldg.second-order"], "--mldg.second-order is set, but this run uses agr_sum and erm"),
        (["--strategy=irm", "--mixup.alpha=1"], "--mixup.alpha is set, but this run uses deep_all and irm"),
        (
            ["--gradients=accumulated", "--strategy=deep_all"],
            "--gradients=accumulated does not go with the objective p",
        ),
        (
            ["--gradients=accumulated", "--strategy=pcgrad"],
            "--gradients=accumulated does not go with the combiner p",
        ),
        (["--gradients=two_pass"], "--gradients=two_pass does not go with the combiner agr_sum; give stacked or accum"),
        (["--learning-rate=1e30"], "is nan at step"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(command, tmp_path, flags, message):
    code, out, err = command(*flags)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert not list(tmp_path.glob("results/**/result.json"))
    if "step" not in message:
        assert not (tmp_path / "results").exists()


def test_unwritable_results_directory(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = command(f"--results-dir={tmp_path / 'file' / 'results'}")
    assert code == 2
    assert "cannot write" in err
    assert "Not a directory" in err
    assert err.count("\n") == 1


def test_unwritable_data_directory(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = command(f"--prepared-dir={tmp_path / 'file' / 'tfds'}")
    assert code == 2
    assert "--prepared-dir: cannot prepare emoji: Not a directory" in err
    assert err.count("\n") == 1


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    flags = [
        "--data-dir=~/PACS",
        "--splits-dir=~/lists",
        "--prepared-dir=~/tfds",
        "--results-dir=~/runs",
        "--weights=~/a",
    ]
    parsed = run.parse(["--dataset=pacs", *flags])
    names = ("data_dir", "splits_dir", "prepared_dir", "results_dir", "weights")
    paths = [config.flat(parsed)[name] for name in names]
    assert [str(path) for path in paths] == [f"/somewhere/{name}" for name in ("PACS", "lists", "tfds", "runs", "a")]


def test_help_is_quick_and_names_everything():
    script = (
        "import sys; from dg_jax import run\n"
        "try: code = run.main(['--help'])\n"
        "except SystemExit as done: code = done.code\n"
        "sys.exit(code or 'jax' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for name in [*strategies.STRATEGIES, *registry.DATASETS, *models.MODELS]:
        assert name in shown
    for field in config.flat(config.RunConfig()):
        assert config.flag(field) in shown


def test_any_objective_with_any_combiner(command, tmp_path):
    code, out, _ = command("--strategy=irm", "--combiner=agr_sum", "--irm.penalty-weight=3", "--irm.anneal-steps=2")
    assert code == 0
    assert "irm with agr_sum" in out
    folder = tmp_path / "results/emoji/windows/irm+agr_sum/seed-0"
    assert json.loads((folder / "result.json").read_text())["combiner"] == "agr_sum"
    stored = json.loads((folder / "config.json").read_text())
    assert stored["irm"] == {"penalty_weight": 3.0, "anneal_steps": 2}
    assert "agreement" in json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])


def test_paper_preset_has_the_papers_numbers():
    paper = run.parse(["--preset=paper"])
    assert (paper.optimisation.iterations, paper.optimisation.batch_size, paper.rates.learning_rate) == (
        1000,
        128,
        1e-5,
    )
    assert (paper.rates.weight_decay, paper.optimisation.val_every, paper.network.model, paper.data.image_size) == (
        5e-5,
        20,
        "alexnet",
        224,
    )
    assert run.parse(["--preset=paper", "--iterations=7"]).optimisation.iterations == 7


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_its_exit_code_and_resume_goes_on(number, expected, command):
    def stop(self, step, metrics):
        if step == 3:
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Display, "on_step", stop)
        code, out, err = command("--iterations=100000")
    assert (code, out) == (expected, "")
    assert err.startswith("stopped after step 3 of 100000; ")
    assert "--resume goes on" in err
    assert err.count("\n") == 1
    assert command()[0] == 2
    assert command("--resume")[0] == 0


def test_a_signal_to_a_separate_process_ends_it_in_the_same_way(emoji_dir, tmp_path):
    flags = [*TINY, "--iterations=100000", f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path}"]
    program = [sys.executable, "-m", "dg_jax.run", *flags]
    printed = tmp_path / "stderr"
    with printed.open("w") as file:  # no pipe: it would be read only at the end, and a full one blocks
        process = subprocess.Popen(program, stderr=file)
    metrics = tmp_path / "emoji/windows/agr_sum/seed-0/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    code, err = process.wait(timeout=60), printed.read_text()
    assert code == 130, err
    assert "--resume goes on" in err
    assert "Traceback" not in err
    checkpoints = [int(path.name) for path in (metrics.parent / "checkpoints" / "last").iterdir()]
    assert f"stopped after step {max(checkpoints)} of 100000" in err


def test_exit_codes_are_those_of_the_signals(monkeypatch):
    def stopped(parsed):
        raise interrupt.Interrupted(signal.SIGTERM, "stopped after step 1 of 2")

    monkeypatch.setattr(run, "run", stopped)
    assert run.main([]) == 143

    def cut(parsed):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", cut)
    assert run.main([]) == 130
