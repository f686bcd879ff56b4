import pytest

from dg_jax import errors
from dg_jax.data import registry


@pytest.mark.parametrize("name", registry.DATASETS)
def test_every_dataset_is_found_under_its_name_and_has_a_builder(name):
    spec = registry.get(name)
    assert registry.dataset_name(name.replace("_", "-").upper()) == name
    assert registry.builder_of(name).__doc__
    assert set(spec.default_domains) <= set(spec.domains) and spec.default_target in ("", *spec.default_domains)


def test_the_papers_datasets_have_its_numbers():
    """Section 4.1 of the paper."""
    for name, pictures, classes in (("pacs", 9_991, 7), ("vlcs", 10_729, 5), ("office_home", 15_588, 65)):
        spec = registry.get(name)
        assert sum(spec.published.values()) == pictures
        assert len(spec.layout.classes) == classes or spec.layout.num_classes == classes
        assert len(spec.domains) == 4


def test_domains_are_known_by_short_names_and_in_any_writing():
    for given in ("S", "s", "Sketch", "SKETCH"):
        assert registry.full_name("pacs", given) == "sketch"
    assert registry.full_name("office_home", "RealWorld") == "real_world"
    assert registry.full_name("pacs", "nothing") == "nothing"  # refused later, where the flag is known


def test_the_domains_of_a_folder_are_read_off_it(tmp_path):
    for domain in ("one", "two"):
        (tmp_path / domain / "cat").mkdir(parents=True)
        (tmp_path / domain / "cat" / "one.JPG").touch()
    assert registry.domains("folder", tmp_path) == ("one", "two")
    with pytest.raises(errors.UserError):
        registry.domains("folder", tmp_path / "missing")
