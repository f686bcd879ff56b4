"""Which runs a sweep does, how it uses what is on disk, and what it refuses."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich import console

from dg_jax import config, errors, run
from dg_jax.command_line import flags as command_flags
from dg_jax.config import changed
from dg_jax.training import files, interrupt, run_folder, run_result
from experiments import sweep
from experiments.table1 import __main__ as table1
from tests.experiments import made_runs
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")

FLAGS = ("--dataset=emoji", "--domains", *made_runs.DOMAINS, "--strategies", "deep_all", "agr_sum", "--seeds=2")
ALL = [(target, method, i) for target in made_runs.DOMAINS for i in range(2) for method in ("deep_all", "agr_sum")]


def parse(tmp_path, *flags):
    return command_flags.parse(sweep.Sweep, [f"--results-dir={tmp_path}", *FLAGS, *flags], "sweep")


def configs(tmp_path, *flags):
    return sweep.configs(parse(tmp_path, *flags))


def names(all_configs):
    return [(one.target, sweep.method_of(one), one.seed) for one in all_configs]


def test_missing_runs_are_done_and_none_twice(made, tmp_path):
    first = sweep.results(configs(tmp_path)[:5])
    assert made.done == ALL[:5]
    everything = sweep.results(configs(tmp_path))
    assert made.done == ALL
    assert made.loaded == [("apple", 0), ("apple", 1), ("google", 0), ("google", 0), *made.loaded[4:]]
    assert sweep.results(configs(tmp_path)) == everything
    assert made.done == ALL
    assert list(everything) == configs(tmp_path)
    assert {one: everything[one] for one in first} == first
    sweep.results(configs(tmp_path, "--overwrite"))
    assert made.done == ALL + ALL


def test_strategies_of_one_target_and_seed_share_their_pictures(made, tmp_path):
    sweep.results(configs(tmp_path, "--strategies", "deep_all", "irm", "agr_sum"))
    assert made.loaded == [(target, seed) for target in made_runs.DOMAINS for seed in range(2)]


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (interrupt.Interrupted(signal.SIGINT, "stopped after step 3 of 9"), 130),
        (interrupt.Interrupted(signal.SIGTERM, "stopped after step 3 of 9"), 143),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_stop_in_the_middle_loses_nothing(made, command, stop, code):
    made.fail_at = (5, stop)
    stopped, out, err = command(table1, *FLAGS)
    assert (stopped, out) == (code, "")
    assert err.startswith("stopped") and "the same command goes on from there" in err and err.count("\n") == 1
    assert made.done == ALL[:5]
    made.fail_at = None
    assert command(table1, *FLAGS)[0] == 0
    assert made.done == ALL


def test_what_every_run_lacks_ends_the_sweep_and_names_the_run(made, command, tmp_path):
    made.fail_at = (1, errors.UserError("--weights=a.safetensors has no layer conv1"))
    code, _, err = command(table1, *FLAGS)
    assert code == 2
    assert err == f"error: {tmp_path}/results/emoji/apple/agr_sum/seed-0: {made.fail_at[1]}\n"
    assert made.done == ALL[:1]


def test_a_run_that_fails_is_named_at_the_end_and_the_rest_is_done(made, command, tmp_path):
    why = "the loss of apple is nan at step 3; try a smaller --learning-rate"
    made.failing = {ALL[1]: errors.RunError(why), ALL[6]: errors.RunError(why)}
    code, out, err = command(table1, *FLAGS)
    assert code == 1 and made.done == [one for one in ALL if one not in made.failing]
    places = [tmp_path / "results/emoji" / target / method / f"seed-{seed}" for target, method, seed in made.failing]
    [written, last] = err.splitlines()
    assert written.startswith(f"written to {tmp_path}/results/table1/emoji: table1.md")
    assert last == f"error: 2 failed, the rest is done: {places[0]}: {why}; {places[1]}: {why}"
    assert "| apple | agr_sum |" in out and "| 1 | 1 |" in out
    made.failing = {}
    assert command(table1, *FLAGS)[0] == 0
    assert sorted(made.done) == sorted(ALL)


def test_where_another_process_writes_a_run_the_rest_is_done(made, command, tmp_path):
    busy = configs(tmp_path / "results", "--targets", "apple")[0]
    with run_folder.open_folder(busy, run_folder.folder_of(busy), {}, ()):
        code, _, err = command(table1, *FLAGS, "--targets", "apple")
    assert code == 1 and made.done == ALL[1:4]
    assert "1 failed, the rest is done: " in err and "deep_all/seed-0: another process is writing this run" in err


def test_where_every_run_fails_nothing_is_written(made, command, tmp_path):
    made.failing = dict.fromkeys(ALL, errors.RunError("the loss of apple is nan at step 1"))
    code, out, err = command(table1, *FLAGS)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: 12 failed, the rest is done: ") and err.endswith(" (and 2 more)\n")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("vectorize_seeds", [False, True])
def test_a_loss_that_is_not_finite_fails_its_own_run_only(monkeypatch, tmp_path, vectorize_seeds):
    made_runs.small(monkeypatch)

    def broken_irm(apply_fn, **settings):
        def objective(params, domain_batch, *, key, step):
            losses = jnp.where(step == 2, jnp.nan, jnp.ones(2))
            return losses, jax.tree.map(lambda leaf: jnp.zeros((2, *leaf.shape)), params)

        return objective

    monkeypatch.setattr("dg_jax.objectives.irm", broken_irm)
    flags = [*TINY, "--targets", "windows", "--seeds=1"]
    broken = configs(tmp_path / "broken", *flags, "--strategies", "deep_all", "irm", "agr_sum")
    results = sweep.results(broken, vectorize_seeds=vectorize_seeds)
    [(failed, why)] = results.failed.items()
    assert failed.strategy == "irm" and "of apple, google is nan at step 3" in why
    expected = sweep.results(configs(tmp_path / "whole", *flags), vectorize_seeds=vectorize_seeds)
    assert [result["test_loss"] for result in results.values()] == [one["test_loss"] for one in expected.values()]
    assert [one.strategy for one in results] == ["deep_all", "agr_sum"]


TINY = (
    "--dataset=emoji",
    "--iterations=4",
    "--val-every=2",
    "--batch-size=4",
    "--image-size=8",
    "--learning-rate=0.05",
)


def test_seeds_in_one_program_give_the_same_and_only_the_missing_are_done(monkeypatch, tmp_path):
    made_runs.small(monkeypatch)
    flags = [*TINY, "--targets", "windows", "--seeds=3"]
    single = sweep.results(configs(tmp_path / "single", *flags))
    groups, run_seeds = [], run.run_seeds

    def counted(group, *args):
        groups.append([(one.strategy, one.seed) for one in group])
        return run_seeds(group, *args)

    monkeypatch.setattr(run, "run_seeds", counted)
    together = configs(tmp_path / "together", *flags)
    sweep.results([one for one in together if (one.strategy, one.seed) == ("agr_sum", 1)])
    # Seed 0 of Deep-All was stopped in the middle: it has checkpoints and metrics, with the same settings.
    worlds.train(changed(together[0], iterations=2), data=worlds.tiny_dataset(seed=0))
    run_folder.folder_of(together[0]).result_file.unlink()
    results = sweep.results(together, vectorize_seeds=True)
    assert groups == [[("deep_all", 0), ("deep_all", 1), ("deep_all", 2)], [("agr_sum", 0), ("agr_sum", 2)]]
    assert sweep.results(together, vectorize_seeds=True) == results and len(groups) == 2
    assert set(results) == set(together)
    for one, (other, alone) in zip(together, single.items(), strict=True):
        assert names([one]) == names([other])
        result, folder = results[one], run_folder.folder_of(one)
        assert json.loads(folder.result_file.read_text()) == result
        for name in ("val_accuracy", "test_accuracy", "test_accuracy_last", "selected_step", "seed", "strategy"):
            assert result[name] == alone[name], name
        np.testing.assert_allclose(result["test_loss"], alone["test_loss"], rtol=1e-4)
        assert [json.loads(line)["step"] for line in folder.metrics_file.read_text().splitlines()] == [2, 4]
    assert not run_folder.folder_of(together[0]).checkpoints.exists()


def test_in_one_program_the_weights_are_checked_against_every_target(monkeypatch, tmp_path):
    """A network is kept for several targets, but the weights may have seen one of them."""
    made_runs.small(monkeypatch)
    checked = set()
    monkeypatch.setattr(run, "check_unseen", lambda one: checked.add((one.target, one.seed)))
    every = configs(tmp_path, *TINY, "--strategies", "deep_all", "--seeds=1")
    sweep.results(every, vectorize_seeds=True)
    assert checked == {(one.target, 0) for one in every} and len(checked) > 1


def test_seeds_in_one_program_need_images_in_memory(monkeypatch, command, tmp_path):
    made_runs.small(monkeypatch)
    data = worlds.tiny_dataset()
    for parts in data.domains.values():
        parts["train"] = made_runs.stored(12)
    monkeypatch.setattr(run, "load", lambda one: data)
    code, _, err = command(table1, *FLAGS, *TINY, "--vectorize-seeds")
    assert code == 2
    assert err == "error: --vectorize-seeds needs images that fit into memory; leave it out\n"
    assert not (tmp_path / "results").exists()


def test_a_half_written_run_is_resumed_to_the_same_numbers(monkeypatch, tmp_path):
    made_runs.small(monkeypatch)
    flags = [*TINY, "--targets", "windows", "--strategies", "agr_sum", "--seeds=1"]
    [expected] = sweep.results(configs(tmp_path / "whole", *flags)).values()
    [one] = configs(tmp_path / "half", *flags)
    worlds.train(changed(one, iterations=2), data=worlds.tiny_dataset(seed=0))
    folder = run_folder.folder_of(one)
    folder.result_file.unlink()
    [result] = sweep.results([one]).values()
    assert [json.loads(line)["step"] for line in folder.metrics_file.read_text().splitlines()] == [2, 4]
    differing = {"wall_seconds", "images_per_second"}
    assert {name: result[name] for name in result.keys() - differing} == {
        name: expected[name] for name in expected.keys() - differing
    }


def test_foreign_files_are_ignored(made, command, tmp_path):
    clean = command(table1, *FLAGS)[1]
    for place in ("emoji/apple/deep_all", "emoji/apple", "emoji", "."):
        folder = tmp_path / "results" / place
        (folder / "my notes").mkdir()
        (folder / "seed-x").write_text("?")
        (folder / "result.json").write_text("{")
    (tmp_path / "results/emoji/apple/deep_all/seed-7").mkdir()
    (tmp_path / "results/emoji/apple/deep_all/seed-0/notes.txt").write_text("mine")
    code, out, err = command(table1, *FLAGS)
    assert (code, out) == (0, clean) and made.done == ALL
    assert "warning" not in err


RESULT = made_runs.made_result(config.defaults("emoji"), 0.5, 0.5)
DAMAGED = {
    "empty": b"",
    "cut": json.dumps(RESULT)[:40].encode(),
    "no JSON": b"all went well",
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "no keys": b"{}",
}
OF_RESULT = {
    "no iterations": {name: value for name, value in RESULT.items() if name != "iterations"},
    "no test_accuracy": {name: value for name, value in RESULT.items() if name != "test_accuracy"},
    "iterations as text": RESULT | {"iterations": "300"},
    "accuracy as text": RESULT | {"test_accuracy": "high"},
    "accuracy in percent": RESULT | {"test_accuracy": 58.1},
    "accuracy not a number": RESULT | {"val_accuracy": float("nan")},
}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *[pytest.param(file, DAMAGED[what], id=f"{file}, {what}") for file in ("result", "config") for what in DAMAGED],
        *[pytest.param("result", json.dumps(OF_RESULT[what]).encode(), id=what) for what in OF_RESULT],
        pytest.param("config", None, id="config missing"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(made, tmp_path, capsys, file, content):
    all_configs = configs(tmp_path)[:6]
    everything = sweep.results(all_configs[:4])
    damaged = all_configs[1]
    path = run_folder.folder_of(damaged).path / f"{file}.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert sweep.results(all_configs) == {
        one: made_runs.made_result(one, *made.accuracies(one)) for one in all_configs if one != damaged
    }
    assert made.done == ALL[:6]  # the rest went on
    err = capsys.readouterr().err
    assert err.startswith(f"warning: left out: {path} is damaged (") and err.count("\n") == 1
    assert f"remove {path.parent} to do the run again" in err
    assert damaged in everything
    # A single run says the same, as an error.
    with pytest.raises(files.DamagedError, match="is damaged"):
        run_result.finished(changed(damaged, resume=False), run_folder.folder_of(damaged), dict)


def test_a_half_written_run_with_a_damaged_configuration_is_left_out(made, tmp_path, capsys):
    one = configs(tmp_path)[2]
    run_folder.folder_of(one).checkpoints.mkdir(parents=True)
    run_folder.folder_of(one).config_file.write_text("{")
    assert set(sweep.results(configs(tmp_path))) == {*configs(tmp_path)} - {one}
    assert f"left out: {run_folder.folder_of(one).config_file} is damaged" in capsys.readouterr().err


def test_seeds_that_only_one_method_has_are_in_no_pair(made, command, tmp_path):
    flags = [*FLAGS, "--targets", "windows", "--seeds=8"]
    command(table1, *flags)
    (tmp_path / "results/emoji/windows/agr_sum/seed-3/result.json").write_text("")
    code, out, err = command(table1, *flags)
    assert code == 0 and "agr_sum/seed-3/result.json is damaged" in err
    assert "Seeds that only one of the two methods has are in no pair: agr_sum on windows: 3." in out
    assert "Each test rests on 7 pairs." in out


@pytest.mark.parametrize("is_finished", [True, False])
def test_other_settings_under_one_name_are_refused_before_anything_is_done(made, command, tmp_path, is_finished):
    command(table1, *FLAGS, "--targets", "google")
    if not is_finished:
        folder = tmp_path / "results/emoji/google/deep_all/seed-0"
        (folder / "result.json").unlink()
        (folder / "checkpoints").mkdir()
    done = list(made.done)
    for flags, difference in (
        (["--learning-rate=0.5"], "--learning-rate is 0.5, but the run in {} has 0.001;"),
        (["--iterations=7"], "--iterations=7: the finished run in {} has 300; give the same"),
    ):
        if flags == ["--iterations=7"] and not is_finished:
            continue
        code, out, err = command(table1, *FLAGS, *flags)
        assert (code, out) == (2, "")
        assert difference.format(tmp_path / "results/emoji/google/deep_all/seed-0") in err
        assert err.count("\n") == 1
    assert made.done == done


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=0"], "--seeds=0: give a whole number of at least 1"),
        (["--seeds=-2"], "--seeds=-2: give a whole number of at least 1"),
        (["--seeds=many"], "--seeds"),
        (["--strategies", "average"], "unknown strategy 'average'; there are: deep_all"),
        (["--strategies"], "--strategies: name at least one"),
        (["--strategies", "agr_sum", "irm", "agr_sum"], "--strategies names one twice: agr_sum irm agr_sum"),
        (["--targets", "moon"], "unknown --target for --dataset=emoji: 'moon'; there are: apple"),
        (["--targets", "apple", "twitter"], "--target=twitter is not among --domains"),
        (["--targets", "apple", "apple"], "--targets names one twice: apple apple"),
        (["--dataset=mnist"], "unknown dataset 'mnist'; there are: emoji"),
        (["--dataset=pacs"], "--data-dir=FOLDER says where it is unpacked"),
        (["--mldg.beta=2"], "--mldg is set, but none of --strategies uses it; leave it out"),
        (["--irm.anneal-steps=3"], "--irm is set, but none of --strategies uses it"),
        (["--strategies", "irm", "--irm.anneal-steps=-3"], "--irm.anneal-steps=-3: give a whole number of at least 0"),
        (["--iterations=0"], "--iterations=0: give"),
        (["--strategy=irm"], "--strategy=irm"),
        (["--seed=3"], "--seed=3"),
        (["--vectorize-seeds", "--model=resnet18", "--weights=w-{seed}"], "--vectorize-seeds takes the BatchNorm stat"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(made, command, tmp_path, flags, message):
    code, out, err = command(table1, *FLAGS, *flags)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not made.done and not (tmp_path / "results").exists()


def test_a_target_may_not_be_named_twice_also_by_its_short_name(tmp_path):
    pacs = changed(sweep.Sweep(targets=("S", "sketch")), dataset="pacs", data_dir=tmp_path, domains=("photo", "sketch"))
    with pytest.raises(errors.UserError, match="--targets names one twice: sketch sketch"):
        sweep.configs(pacs)


@pytest.mark.parametrize(
    ("flags", "irm"),
    [
        ([], (100.0, 30)),
        (["--irm.penalty-weight=10"], (10.0, 30)),
        (["--irm.anneal-steps=59"], (100.0, 59)),
        (["--irm.anneal_steps", "7", "--irm.penalty-weight=10"], (10.0, 7)),
    ],
)
def test_flags_of_a_method_go_to_its_runs_only(tmp_path, flags, irm):
    all_configs = configs(
        tmp_path,
        "--iterations=60",
        "--group-dro.step-size=0.5",
        *flags,
        "--strategies",
        "deep_all",
        "irm",
        "group_dro",
    )
    assert len(all_configs) == 3 * 2 * 3
    default = config.RunConfig()
    for one in all_configs:
        in_use = one.strategy
        assert (one.method.irm.penalty_weight, one.method.irm.anneal_steps) == (
            irm if in_use == "irm" else (100.0, None)
        )
        assert one.method.group_dro.step_size == (0.5 if in_use == "group_dro" else default.method.group_dro.step_size)


class _Terminal(console.Console):
    @property
    def is_terminal(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(made, command, monkeypatch, tmp_path):
    err = command(table1, *FLAGS, "--targets", "apple")[2]
    assert err.startswith(f"written to {tmp_path}/results/table1/emoji: table1.md,") and err.count("\n") == 1
    monkeypatch.setattr(console, "Console", _Terminal)
    err = command(table1, *FLAGS)[2]
    assert "8/8" in err and "windows, agr_sum, seed 1" in err
