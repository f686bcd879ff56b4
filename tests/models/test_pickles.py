import collections
import io
import os
import pickle

import numpy as np
import pytest

from dg_jax.models import pickles

ARRAYS = {"a": [np.arange(6.0, dtype=np.float32).reshape(2, 3), 1], "b": (np.zeros(0), "text")}


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_out_as_they_went_in(protocol):
    found = pickles.read_arrays(pickle.dumps(ARRAYS, protocol))
    np.testing.assert_array_equal(found["a"][0], ARRAYS["a"][0])
    assert found["a"][0].dtype == np.float32 and found["a"][1] == 1 and found["b"][1] == "text"


class Order:
    def __reduce__(self):
        return os.mkdir, ("never-made",)


@pytest.mark.parametrize("content", [Order(), {"a": [Order()]}, io.StringIO, collections.OrderedDict()])
def test_anything_else_is_refused_before_it_is_run(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for read in (pickles.read_arrays, pickles.read_tensors):
        with pytest.raises(pickle.UnpicklingError, match="which is not a NumPy array; nothing in it was run"):
            read(pickle.dumps(content, 2))
    assert not list(tmp_path.iterdir())


def test_tensors_of_pytorchs_older_format():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = collections.OrderedDict(
        [("whole", whole), ("turned", whole.permute(2, 0, 1)), ("part", whole[1]), ("count", torch.tensor(7))]
    )
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    found = pickles.read_tensors(file.getvalue())
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)
