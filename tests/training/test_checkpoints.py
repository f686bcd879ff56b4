import contextlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.training import checkpoints, files, selection, step


def state_after(number, value=0.0):
    params = {"w": jnp.full(3, value)}
    return step.TrainState(params, {"adam": {"mu": params}}, jnp.int32(number), jax.random.key(number))


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(checkpoints.Checkpoints(tmp_path)) as store:
        yield store


def test_what_was_saved_is_restored(store, tmp_path):
    best = selection.Selected({"w": jnp.ones(3)}, 2, 0.5)
    store.save(state_after(4, 7.0), best)
    with contextlib.closing(checkpoints.Checkpoints(tmp_path)) as again:
        state, selected = again.restore(state_after(0))
        assert again.seconds() >= 0
    assert int(state.step) == 4 and (selected.step, selected.accuracy) == (2, 0.5)
    np.testing.assert_array_equal(state.params["w"], [7, 7, 7])
    np.testing.assert_array_equal(selected.params["w"], [1, 1, 1])
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(jax.random.key(4)))


def test_where_there_is_none_the_fresh_state_is_given_back(store):
    fresh = state_after(0)
    assert store.restore(fresh) == (fresh, selection.Selected())


def test_two_are_kept_while_a_run_goes_on_and_one_at_its_end(store, tmp_path):
    for number in (1, 2, 3):
        store.save(state_after(number), selection.Selected())
    assert sorted(int(path.name) for path in (tmp_path / "last").iterdir()) == [2, 3]
    store.finish(selection.Selected({"w": jnp.ones(3)}, 2, 0.5), {"bn": {"mean": jnp.zeros(2)}})
    assert [path.name for path in (tmp_path / "last").iterdir()] == ["3"]
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["2"]


def test_the_selected_network_is_read_with_what_it_holds_beside_its_parameters(store, tmp_path):
    params, constants = {"w": jnp.arange(3.0)}, {"bn": {"mean": jnp.ones(2)}}
    like = jax.tree.map(jnp.zeros_like, (params, constants))
    with pytest.raises(files.DamagedError, match="the selected network is not there"):
        checkpoints.read_selected(tmp_path, *like)
    store.finish(selection.Selected(params, 2, 0.5), constants)
    chex.assert_trees_all_equal(checkpoints.read_selected(tmp_path, *like), (params, constants))
    for other in ({"w": jnp.zeros(4)}, {"v": jnp.zeros(3)}):
        with pytest.raises(files.DamagedError, match=r"best/2 cannot be read"):
            checkpoints.read_selected(tmp_path, other, constants)


def test_the_hook_saves_where_it_is_due_and_always_where_it_stops(store, tmp_path, monkeypatch):
    class Chosen:
        every, best = 5, selection.Selected()

    saved = []
    monkeypatch.setattr(store, "save_if_due", lambda state, best: saved.append(("if due", int(state.step))))
    monkeypatch.setattr(store, "save", lambda state, best: saved.append(("now", int(state.step))))
    hook = checkpoints.Saving(store, Chosen)
    assert hook.every == 5
    hook.on_pause(state_after(5), None)
    hook.on_stop(state_after(7))
    assert saved == [("if due", 5), ("now", 7)]
