import chex
import hypothesis
import pytest

# The first example of a property compiles; its time says nothing.
hypothesis.settings.register_profile("jax", deadline=None, max_examples=60)
hypothesis.settings.load_profile("jax")


@pytest.fixture(autouse=True)
def _count_traces_of_this_test_only():
    chex.clear_trace_counter()
