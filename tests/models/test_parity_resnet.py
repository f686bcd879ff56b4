"""ResNet-18 and ResNet-50 against PyTorch's, with weights from the converter and statistics other than 0 and 1."""

import pytest

from tests.models import torch_networks


@pytest.fixture(scope="module")
def converter():
    return torch_networks.load_converter("torchvision_resnet")


@pytest.mark.parametrize(("name", "num_parameters"), [("resnet18", 62), ("resnet50", 161)])
def test_logits_and_gradient_of_every_parameter(name, num_parameters, converter, tmp_path):
    both = torch_networks.converted(name, converter, tmp_path)
    images = torch_networks.some_images(33, batch=2)
    assert torch_networks.logits_difference(*both, images) < 1e-4
    differences = torch_networks.gradient_differences(*both, images, converter)
    assert len(differences) == num_parameters
    assert {name: difference for name, difference in differences.items() if difference > 1e-4} == {}
