"""Methods do what they say: what is set by default, and what is refused because it would have no effect."""

import json
import shutil

import numpy as np
import pytest

from dg_jax import config, errors, run
from dg_jax.training import run_folder, seeds
from experiments.table1 import __main__ as table1
from tests import printed
from tests.training import worlds

TINY = [
    "--dataset=emoji",
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
    """Calls a command line in this process: ``command(*flags) -> (exit code, stderr)``."""

    def call(*flags, program=run):
        places = [f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path / 'results'}"]
        code = program.main([*TINY, *places, "--iterations=4", *flags])
        return code, printed.without_progress(capsys.readouterr().err)

    return call


def stored(tmp_path, name, strategy="irm", seed=0):
    return json.loads((tmp_path / f"results/emoji/windows/{strategy}/seed-{seed}/{name}.json").read_text())


def test_the_penalty_of_irm_sets_in_after_half_of_the_steps(command, tmp_path):
    losses = {}
    for weight in ("1", "1e4"):  # with 1 nothing changes at that step
        assert command("--strategy=irm", f"--irm.penalty-weight={weight}", "--overwrite") == (0, "")
        lines = (tmp_path / "results/emoji/windows/irm/seed-0/metrics.jsonl").read_text().splitlines()
        losses[weight] = [json.loads(line)["losses"] for line in lines]
        assert stored(tmp_path, "config")["irm"]["anneal_steps"] == 2
    before, after = zip(*losses.values(), strict=True)
    assert before[0] == before[1] and after[0] != after[1]


def test_a_run_of_irm_that_goes_on_keeps_the_annealing_that_it_began_with(command, tmp_path):
    command("--strategy=irm")
    assert command("--strategy=irm", "--resume", "--iterations=8") == (0, "")
    assert stored(tmp_path, "config")["irm"]["anneal_steps"] == 2
    expected = stored(tmp_path, "result")
    flags = ("--strategy=irm", "--iterations=8", "--irm.anneal-steps=2")
    assert command(*flags)[1].startswith("done already")
    assert command(*flags, "--overwrite")[0] == 0
    assert stored(tmp_path, "result")["test_loss"] == expected["test_loss"]
    code, err = command("--strategy=irm", "--resume", "--iterations=10", "--irm.anneal-steps=5")
    assert code == 2 and "--irm is {'penalty_weight': 100.0, 'anneal_steps': 5}, but the run in" in err


def test_a_run_of_irm_and_one_of_a_sweep_are_the_same_run(command):
    command("--strategy=irm")
    flags = ["--targets", "windows", "--strategies", "irm", "--seeds=1"]
    assert "written to" in command(*flags, program=table1)[1]
    assert command("--strategy=irm")[1].startswith("done already")


def test_mldg_pairs_as_its_flag_says(command, tmp_path):
    losses = {}
    for pairing, rows in (("split", 1), ("circle", 2)):
        assert command("--strategy=mldg", f"--mldg.pairing={pairing}", "--overwrite") == (0, "")
        assert stored(tmp_path, "config", "mldg")["mldg"]["pairing"] == pairing
        [line, _] = (tmp_path / "results/emoji/windows/mldg/seed-0/metrics.jsonl").read_text().splitlines()
        losses[pairing] = json.loads(line)["losses"]
        assert len(losses[pairing]) == rows


ONE_SOURCE = ["--domains", "apple", "windows"]
LEAVES_ONE = "as it combines gradients and there is one: --domains apple windows leaves one source; name more"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        *[
            (
                ["--strategy=deep_all", f"--combiner={combiner}"],
                f"--combiner={combiner} would change nothing, as it combines gradients and there is one: "
                f"--strategy=deep_all takes all images as one domain; give --strategy={combiner}",
            )
            for combiner in ("agr_sum", "agr_rand", "pcgrad", "group_dro")
        ],
        *[
            ([*ONE_SOURCE, f"--strategy={strategy}"], f"--strategy={strategy} would change nothing, {LEAVES_ONE}")
            for strategy in ("agr_sum", "agr_rand", "pcgrad", "group_dro")
        ],
        (
            [*ONE_SOURCE, "--strategy=irm", "--combiner=agr_sum"],
            f"--combiner=agr_sum would change nothing, {LEAVES_ONE}, or give --strategy=deep_all",
        ),
        (
            [*ONE_SOURCE, "--strategy=mixup"],
            "--strategy=mixup would change nothing, as it blends images of two sources",
        ),
        (
            [*ONE_SOURCE, "--strategy=deep_all", "--batches=single_domain"],
            "--batches=single_domain would change nothing, as --domains apple windows leaves one source; leave it out",
        ),
        *[
            (
                [*ONE_SOURCE, f"--strategy={name}"],
                f"--strategy={name} would change nothing, as it compares the {what} of",
            )
            for name, what in {
                "vrex": "losses",
                "iga": "gradients",
                "coral": "features",
                "fishr": "gradients' variances",
            }.items()
        ],
        (
            ["--strategy=coral", "--combiner=agr_sum"],
            "--combiner=agr_sum would change nothing, as it combines gradients and there is one: --strategy=coral is "
            "one loss of all sources; give --strategy=agr_sum",
        ),
        (
            ["--strategy=mldg", "--combiner=pcgrad"],
            "--combiner=pcgrad would change nothing, as it combines gradients and there is one: --strategy=mldg makes "
            "one pair of two sources; name more --domains, leave it out, or give --mldg.pairing=circle",
        ),
        (
            ["--strategy=deep_all", "--model=resnet18"],
            "--model=resnet18: its BatchNorm statistics are frozen at those of --weights, and there are none",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_would_have_no_effect_is_refused_with_the_reason(command, tmp_path, flags, message):
    code, err = command(*flags)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_sweep_refuses_them_too(command, tmp_path):
    code, err = command("--strategies", "deep_all", "pcgrad", "--targets", "windows", *ONE_SOURCE, program=table1)
    assert code == 2 and f"--strategy=pcgrad would change nothing, {LEAVES_ONE}" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "flags",
    [
        [*ONE_SOURCE, "--strategy=deep_all"],
        [*ONE_SOURCE, "--strategy=irm"],
        ["--strategy=mldg", "--combiner=agr_sum", "--mldg.pairing=circle"],
        ["--strategy=deep_all", "--batches=single_domain"],
    ],
    ids=" ".join,
)
def test_what_has_an_effect_is_done(command, flags):
    assert command(*flags) == (0, "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--strategy=krum"], "--krum.byzantine has no default: give a whole number of at least 0"),
        (["--strategy=mmd", "--batch-size=1"], "--batch-size=1: --strategy=mmd needs at least 2, whose features are"),
        (
            ["--strategy=vrex", "--vrex.anneal-steps=4"],
            "--vrex.anneal-steps=4: with --iterations=4 the full penalty never",
        ),
        (["--strategy=fishr", "--batch-size=1"], "--batch-size=1: --strategy=fishr needs at least 2, whose gradients"),
        (
            ["--strategy=fishr", "--batches=single_domain"],
            "--batches=single_domain does not go with --strategy=fishr, which gathers the variances of each source",
        ),
        (
            ["--average=swad", "--selection=last"],
            "--selection=last would change nothing, as --average=swad selects by the validation loss; leave one out",
        ),
        (["--swad.n-tolerance=2"], "--swad.n-tolerance is set, but this run uses agr_sum and erm; leave it out"),
        (["--strategy=weighted"], "--weighted.weights has no default: give a number for each source"),
        (
            ["--strategy=krum", "--krum.byzantine=0"],
            "--krum.byzantine=0 and --krum.selected=1 need 3 gradients: there are 2 gradients of 2 sources; give less",
        ),
        (["--strategy=trimmed_mean"], "--trimmed-mean.trim=1 needs 3 gradients: there are 2 gradients of 2 sources"),
        (
            ["--strategy=cagrad", "--cagrad.preference", "1", "2", "3"],
            "--cagrad.preference 1.0 2.0 3.0: give one number for each gradient; there are 2 gradients of 2 sources",
        ),
        (["--strategy=upgrad", "--upgrad.preference", "1", "-2"], "--upgrad.preference=1.0 -2.0: give a number of at"),
        (["--strategy=grad_vac", "--grad-vac.beta=2"], "--grad-vac.beta=2.0: give a number from 0 to 1"),
        (["--strategy=sand_mask", "--sand-mask.threshold=1"], "--sand-mask.threshold=1.0: give a number of at least 0"),
        (["--strategy=cagrad", "--fair-grad.alpha=2"], "--fair-grad.alpha is set, but this run uses cagrad and erm"),
        (["--strategy=cagrad", "--gradients=accumulated"], "does not go with the combiner cagrad; give stacked or two"),
        (
            ["--strategy=and_mask", "--and-mask.threshold=0.5", "--gradients=accumulated"],
            "--gradients=accumulated does not go with --and-mask.threshold=0.5, only with 1",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_settings_of_combiners_that_cannot_be_are_refused(command, tmp_path, flags, message):
    code, err = command(*flags)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_weights_from_python_may_be_a_list_and_must_be_numbers():
    usual = {"strategy": "weighted", "target": "windows", "domains": ["apple", "google", "windows"]}
    for weights in ([1, 2.5], (1, 2.5), np.array([1, 2.5])):
        assert config.configure(**usual, weighted={"weights": weights}).method.weighted.weights == (1, 2.5)
    for weights in (3.0, "12", ["a", "b"]):
        with pytest.raises(errors.UserError, match=r"--weighted\.weights=.*: give a number for each source"):
            config.configure(**usual, weighted={"weights": weights})


@pytest.mark.parametrize(
    "flags",
    [
        ["--strategy=cagrad", "--cagrad.preference", "1", "2", "--gradients=two_pass"],
        ["--strategy=weighted", "--weighted.weights", "0.25", "0.75"],
        ["--strategy=vrex", "--combiner=pcgrad", "--vrex.penalty-weight=2"],
        ["--strategy=iga", "--iga.penalty-weight=1"],
        ["--strategy=coral", "--coral.penalty-weight=2"],
        ["--strategy=mmd"],
        ["--strategy=fishr", "--combiner=pcgrad", "--gradients=two_pass", "--average=swad"],
        ["--strategy=and_mask", "--and-mask.no-rescale", "--gradients=accumulated"],
        ["--strategy=mldg", "--combiner=median", "--mldg.pairing=circle"],
    ],
    ids=" ".join,
)
def test_combiners_of_the_family_are_trained_with(command, flags):
    assert command(*flags) == (0, "")
    assert command(*flags)[1].startswith("done already")


def test_a_run_of_irm_that_goes_on_to_fewer_steps_than_its_annealing_is_refused(command, tmp_path):
    command("--strategy=irm", "--irm.anneal-steps=3")
    folder = tmp_path / "results/emoji/windows/irm/seed-0"
    (folder / "result.json").unlink()
    (folder / "checkpoints/last/4").rename(folder / "checkpoints/last/2")  # as if it had been stopped there
    code, err = command("--strategy=irm", "--resume", "--iterations=3")
    assert code == 2 and "--irm.anneal-steps=3: with --iterations=3 the full penalty never starts" in err
    shutil.rmtree(folder / "checkpoints")  # stopped before the first checkpoint, a run starts again
    assert command("--strategy=irm", "--resume", "--iterations=3") == (0, "")
    assert stored(tmp_path, "config")["irm"]["anneal_steps"] == 1


@pytest.mark.parametrize("steps", [4, 500])
def test_an_annealing_that_never_ends_is_refused(command, steps):
    code, err = command("--strategy=irm", f"--irm.anneal-steps={steps}")
    assert code == 2
    assert err == (
        f"error: --irm.anneal-steps={steps}: with --iterations=4 the full penalty never starts; "
        "give fewer, or leave it out for half of --iterations\n"
    )


def training_pictures(emoji_dir, **seeds):
    flags = [f"--prepared-dir={emoji_dir}", *(f"--{name.replace('_', '-')}={value}" for name, value in seeds.items())]
    data = run.load(run.parse([*TINY, "--strategy=deep_all", *flags]))
    return data.domains["apple"]["train"].image


def test_a_split_of_its_own_stays_while_the_seed_varies(emoji_dir):
    fixed = [training_pictures(emoji_dir, seed=seed, split_seed=7) for seed in (0, 1)]
    np.testing.assert_array_equal(*fixed)
    np.testing.assert_array_equal(fixed[0], training_pictures(emoji_dir, seed=7))
    assert np.any(fixed[0] != training_pictures(emoji_dir, seed=0))


def test_runs_on_one_split_differ_in_the_rest(command, tmp_path):
    flags = ("--strategy=deep_all", "--split-seed=7")
    losses = []
    for seed in (0, 1):
        assert command(*flags, f"--seed={seed}") == (0, "")
        losses.append(stored(tmp_path, "result", "deep_all", seed)["test_loss"])
    assert losses[0] != losses[1]
    code, err = command("--strategy=deep_all", "--split-seed=8")
    assert code == 2 and "--split-seed is 8, but the run in" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split-seed=-1"], "--split-seed=-1: give a whole number from 0 to 4294967295"),
        (["--selection=best"], "--selection"),
        (
            ["--dataset=pacs", "--data-dir=/a", "--splits-dir=/b", "--split-seed=3", "--domains=A", "S", "P"],
            "--split-seed=3 would change nothing, as --splits-dir has the split",
        ),
    ],
)
def test_a_split_seed_that_is_wrong_or_without_effect_is_refused(command, flags, message):
    code, err = command("--strategy=deep_all", *flags)
    assert code == 2 and message in err


def test_the_last_parameters_are_tested_where_it_is_asked_for(tmp_path):
    settings = {"learning_rate": 0.05, "iterations": 7}
    usual = worlds.train(worlds.tiny_config(tmp_path / "usual", **settings))
    last = worlds.tiny_config(tmp_path / "last", **settings, selection="last")
    result = worlds.train(last)
    lines = run_folder.folder_of(last).metrics_file.read_text().splitlines()
    assert usual["selected_step"] == 2 and result["selected_step"] == 7
    assert result["val_accuracy"] == json.loads(lines[-1])["val_accuracy"]
    assert result["test_accuracy"] == result["test_accuracy_last"] and result["test_loss"] != usual["test_loss"]
    assert [path.name for path in (run_folder.folder_of(last).checkpoints / "best").glob("[0-9]*")] == ["7"]
    together = worlds.tiny_config(tmp_path / "together", **settings, selection="last")
    [side_by_side] = seeds.train([together], [worlds.tiny_dataset()], [worlds.linear_model()])
    assert side_by_side["selected_step"] == 7
    np.testing.assert_allclose(side_by_side["test_loss"], result["test_loss"], rtol=1e-4)


def test_the_released_codes_preset_is_the_papers_with_what_the_code_does_otherwise():
    paper, released = (config.flat(run.parse([f"--preset={preset}"])) for preset in ("paper", "released"))
    differing = {name: value for name, value in released.items() if value != paper[name]}
    expected = {"preset": "released", "split_seed": 0, "selection": "last"}
    assert differing == {name: {"zeros": "conflict"} for name in ("agr_sum", "agr_rand")} | expected
    assert run.parse(["--preset=released", "--selection=validation"]).optimisation.selection == "validation"
    sources = ["--dataset=pacs", "--data-dir=/a", "--splits-dir=/b", "--preset=released"]
    assert run.parse(sources).data.split_seed == 0  # the given lists are used instead
