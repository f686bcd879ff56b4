"""The pictures that are found in a download, and the errors of a broken one."""

import os
import shutil

import pytest

from dg_jax import errors
from dg_jax.data import image_tree, registry
from tests.data import made_trees


@pytest.fixture
def pacs(tmp_path):
    return made_trees.pacs(tmp_path / "PACS", per_class=2)


def scan(folder, dataset="pacs"):
    return image_tree.scan(folder, registry.get(dataset).layout, dataset)


def refused(folder, dataset="pacs"):
    with pytest.raises(errors.UserError) as caught:
        scan(folder, dataset)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_pacs_with_and_without_kfold_is_the_same(pacs):
    whole = scan(pacs)
    assert whole.classes == made_trees.PACS_CLASSES
    assert list(whole.pictures) == ["art_painting", "cartoon", "photo", "sketch"]
    assert [len(files) for files in whole.pictures.values()] == [14] * 4
    assert whole.pictures["photo"][0][1:] == (0, "photo/dog/pic_000.jpg")
    assert whole.pictures["sketch"][-1][1:] == (6, "sketch/person/n00001-1.png")
    inner = scan(pacs / "kfold")
    assert inner.classes == whole.classes
    for domain, files in whole.pictures.items():
        assert [file[1:] for file in inner.pictures[domain]] == [file[1:] for file in files]


@pytest.mark.parametrize(
    "layout",
    [
        {"domains": ("CALTECH", "LABELME", "PASCAL", "SUN"), "classes": "01234", "part": "full"},
        {
            "domains": ("Caltech101", "LabelMe", "VOC2007", "SUN09"),
            "classes": ("bird", "car", "chair", "dog", "person"),
        },
    ],
    ids=["original", "domainbed"],
)
def test_vlcs_in_both_layouts(tmp_path, layout):
    for domain in layout["domains"]:
        inner = tmp_path / "VLCS" / domain / layout.get("part", "")
        made_trees.fill(inner.parent, (inner.name,), layout["classes"], per_class=2, size=30)
    tree = scan(tmp_path, "vlcs")
    assert tree.classes == ("bird", "car", "chair", "dog", "person")
    assert list(tree.pictures) == ["caltech101", "labelme", "sun09", "voc2007"]
    assert [[picture.label for picture in files] for files in tree.pictures.values()] == [
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    ] * 4


def test_vlcs_original_counts_a_picture_once(tmp_path):
    """``full`` holds all pictures. Without it the parts together do; crossval's pictures are also in train."""
    for domain in ("CALTECH", "LABELME", "PASCAL", "SUN"):
        for part, name in (("train", "a{}.jpg"), ("crossval", "a{}.jpg"), ("test", "b{}.jpg")):
            made_trees.fill(tmp_path / domain, (part,), "01234", name, per_class=2, size=20)
    assert [len(files) for files in scan(tmp_path, "vlcs").pictures.values()] == [20] * 4
    made_trees.fill(tmp_path / "SUN", ("full",), "01234", per_class=3, size=20)
    assert [len(files) for files in scan(tmp_path, "vlcs").pictures.values()] == [20, 20, 15, 20]


def test_office_home_terra_incognita_and_domain_net(tmp_path):
    classes = [f"class_{i}" for i in range(345)]
    for dataset, domains, names in (
        ("office_home", ("Art", "Clipart", "Product", "Real World"), classes[:65]),
        ("terra_incognita", ("location_100", "location_38", "location_43", "location_46"), None),
        ("domain_net", ("clipart", "infograph", "painting", "quickdraw", "real", "sketch"), classes),
    ):
        layout = registry.get(dataset).layout
        for domain in domains:
            for name in names or layout.classes:
                (tmp_path / dataset / domain / name).mkdir(parents=True)
                (tmp_path / dataset / domain / name / "a.jpg").touch()
        tree = scan(tmp_path / dataset, dataset)
        assert list(tree.pictures) == list(layout.domains)
        assert {len(files) for files in tree.pictures.values()} == {len(tree.classes)}
    shutil.rmtree(tmp_path / "office_home" / "Art" / "class_64")
    assert "Art has no pictures of class class_64" in refused(tmp_path / "office_home", "office_home")
    for domain in ("Clipart", "Product", "Real World"):
        shutil.rmtree(tmp_path / "office_home" / domain / "class_64")
    assert "holds 64 classes, expected 65" in refused(tmp_path / "office_home", "office_home")


def test_folder_reads_domains_and_classes_off_the_tree(tmp_path):
    made_trees.fill(tmp_path, ("Été au lac", "winter"), ("Äpfel", "big pears"), "été {}.PNG", per_class=2, size=9)
    tree = scan(tmp_path, "folder")
    assert tree.classes == ("big pears", "Äpfel")
    assert list(tree.pictures) == ["winter", "Été au lac"] == list(registry.domains("folder", tmp_path))
    assert tree.pictures["winter"][0].name == "winter/big pears/été 0.PNG"
    (tmp_path / "winter" / "plums").mkdir()
    made_trees.save(tmp_path / "winter" / "plums" / "a.png", made_trees.photo(0, 5, 5))
    assert "Été au lac has no pictures of class plums" in refused(tmp_path, "folder")


def test_names_in_decomposed_unicode_are_composed(tmp_path):
    made_trees.fill(tmp_path, ("e\u0301te\u0301", "winter"), ("a", "b"), per_class=1, size=9)
    tree = scan(tmp_path, "folder")
    assert set(tree.pictures) == {"été", "winter"}
    assert tree.pictures["été"][0].name == "été/a/pic_000.jpg"
    assert tree.pictures["été"][0].path.exists()


def test_files_that_are_not_pictures_are_passed_over_and_listed(pacs):
    folder = pacs / "kfold" / "photo" / "dog"
    for name in (".DS_Store", "._pic_000.jpg", "notes.txt", "Thumbs.db"):
        (folder / name).write_text("?")
    (pacs / "__MACOSX").mkdir()
    tree = scan(pacs)
    assert len(tree.pictures["photo"]) == 14
    assert sorted(os.path.basename(path) for path in tree.ignored) == ["Thumbs.db", "notes.txt"]


def test_missing_domain(pacs):
    shutil.rmtree(pacs / "kfold" / "sketch")
    message = refused(pacs)
    assert "has no folder for sketch" in message
    assert str(pacs / "kfold") in message


def test_missing_and_empty_class(pacs):
    shutil.rmtree(pacs / "kfold" / "photo" / "dog")
    for file in (pacs / "kfold" / "cartoon" / "person").iterdir():
        file.unlink()
    message = refused(pacs)
    assert "photo has no pictures of class dog" in message
    assert "cartoon has no pictures of class person" in message


def test_foreign_class(pacs):
    made_trees.save(pacs / "kfold" / "photo" / "cow" / "a.jpg", made_trees.photo(0, 9, 9))
    assert "photo/cow is no class of pacs" in refused(pacs)


def test_folder_among_pictures(pacs):
    (pacs / "kfold" / "photo" / "dog" / "more").mkdir()
    assert "photo/dog/more is a folder where pictures are expected" in refused(pacs)


def test_two_folders_of_one_domain(tmp_path):
    for domain in ("CALTECH", "Caltech101"):
        made_trees.fill(tmp_path, (domain,), "01234", per_class=1, size=9)
    assert "are both the domain caltech101" in refused(tmp_path, "vlcs")


def test_no_such_folder_and_a_file_in_its_place(tmp_path):
    assert "cannot read" in refused(tmp_path / "nowhere")
    (tmp_path / "PACS.zip").touch()
    assert "Not a directory" in refused(tmp_path / "PACS.zip")
    (tmp_path / "empty").mkdir()
    assert "has no folder for art_painting, cartoon, photo, sketch" in refused(tmp_path / "empty")
    with pytest.raises(errors.UserError, match="holds no domains; it must be laid out as DOMAIN/CLASS/PICTURE"):
        registry.domains("folder", tmp_path / "empty")
    with pytest.raises(errors.UserError, match="--data-dir=FOLDER says where it is unpacked"):
        registry.domains("pacs", None)


def test_symbolic_links(pacs, tmp_path):
    outside = made_trees.save(tmp_path / "elsewhere" / "secret.jpg", made_trees.photo(0, 9, 9))
    dog = pacs / "kfold" / "photo" / "dog"
    inside = dog / "inside.jpg"
    inside.symlink_to("pic_000.jpg")
    assert len(scan(pacs).pictures["photo"]) == 15
    (dog / "leaves.jpg").symlink_to(outside)
    message = refused(pacs)
    assert "photo/dog/leaves.jpg is a symbolic link that leaves" in message
    (dog / "leaves.jpg").unlink()
    (dog / "dangling.jpg").symlink_to("nothing.jpg")
    assert "dangling.jpg is a symbolic link that leads nowhere" in refused(pacs)
    (dog / "dangling.jpg").unlink()
    shutil.move(pacs / "kfold" / "sketch", tmp_path / "sketch")
    (pacs / "kfold" / "sketch").symlink_to(tmp_path / "sketch")
    assert "is a symbolic link that leaves" in refused(pacs)


def test_a_root_that_is_itself_a_link_is_fine(pacs, tmp_path):
    (tmp_path / "link").symlink_to(pacs)
    names = [[file.name for file in scan(folder).pictures["photo"]] for folder in (tmp_path / "link", pacs)]
    assert names[0] == names[1]


def test_names_that_are_no_utf8(tmp_path):
    made_trees.fill(tmp_path, ("a", "b"), ("x", "y"), per_class=1, size=9)
    shutil.copy(tmp_path / "a/x/pic_000.jpg", os.fsencode(tmp_path / "a/x") + b"/\xff.jpg")
    assert "is not valid UTF-8" in refused(tmp_path, "folder")


@pytest.mark.parametrize(
    ("dataset", "given", "full"),
    [
        ("pacs", "S", "sketch"),
        ("pacs", "a", "art_painting"),
        ("pacs", "Art Painting", "art_painting"),
        ("vlcs", "V", "voc2007"),
        ("vlcs", "PASCAL", "voc2007"),
        ("vlcs", "Caltech101", "caltech101"),
        ("office_home", "R", "real_world"),
        ("office_home", "Real World", "real_world"),
        ("terra_incognita", "L46", "location_46"),
        ("domain_net", "Q", "quickdraw"),
        ("emoji", "windows", "windows"),
        ("folder", "S", "S"),
        ("pacs", "moon", "moon"),
    ],
)
def test_short_names(dataset, given, full):
    assert registry.full_name(dataset, given) == full


def test_published_numbers_are_those_of_the_issue():
    sums = {name: sum(spec.published.values()) for name, spec in registry.DATASETS.items() if spec.published}
    assert sums == {"pacs": 9991, "vlcs": 10729, "office_home": 15588, "domain_net": 586575}
