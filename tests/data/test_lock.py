import pytest

from dg_jax.data import lock


def test_one_file_one_holder_until_it_is_closed(tmp_path):
    path = tmp_path / "file"
    with path.open("w") as first, path.open("w") as second:
        lock.take(first)
        with pytest.raises(BlockingIOError):
            lock.take(second)
        first.close()
        lock.take(second)


def test_a_folder_is_made_and_locked(tmp_path):
    with (
        lock.locked(tmp_path / "new/folder"),
        (tmp_path / "new/folder/.lock").open("w") as other,
        pytest.raises(BlockingIOError),
    ):
        lock.take(other)
    with (tmp_path / "new/folder/.lock").open("w") as other:
        lock.take(other)
