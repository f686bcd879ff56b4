import chex
import hypothesis
import pytest

# The first example of a property compiles; its time says nothing.
hypothesis.settings.register_profile("jax", deadline=None, max_examples=60)
hypothesis.settings.load_profile("jax")


@pytest.fixture(autouse=True)
def _count_traces_of_this_test_only():
    chex.clear_trace_counter()


@pytest.fixture(scope="session")
def emoji_dir(tmp_path_factory):
    """A TFDS directory with the emoji dataset prepared, once for all tests."""
    from dg_jax.data import prepared

    folder = tmp_path_factory.mktemp("tfds")
    prepared.load("emoji", ("apple",), image_size=32, split_seed=0, data_dir=folder)
    return folder
