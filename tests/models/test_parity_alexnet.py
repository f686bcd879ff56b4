"""AlexNet against PyTorch's, with weights from the converter."""

import pytest

from tests.models import torch_networks


@pytest.fixture(scope="module")
def converter():
    return torch_networks.load_converter("torchvision_alexnet")


@pytest.fixture(scope="module")
def both(converter, tmp_path_factory):
    return torch_networks.converted("alexnet", converter, tmp_path_factory.mktemp("alexnet"))


@pytest.mark.parametrize("size", [227, 224])
def test_logits(both, size):
    assert torch_networks.logits_difference(*both, torch_networks.some_images(size, batch=2)) < 1e-4


def test_gradient_of_every_parameter(both, converter):
    # The extents of the maps are even or odd as at 224, and the adaptive pooling is not the identity.
    images = torch_networks.some_images(95, batch=1)
    differences = torch_networks.gradient_differences(*both, images, converter)
    assert len(differences) == 16
    assert {name: difference for name, difference in differences.items() if difference > 1e-4} == {}
