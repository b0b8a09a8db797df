"""C5 on the grid of C4 from the same weights: the even positions are those of C5 itself."""

import pytest
import torch
from LesionAnalysisLib.network.backbones import BACKBONES
from LesionAnalysisLib.network.dilation import without_stride
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.network.folding import FoldedFeCNN

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_even_positions_are_those_of_the_block_and_the_others_are_new(backbone):
    torch.manual_seed(0)
    network = FeCNN(backbone).eval()
    folded = FoldedFeCNN(network)
    for maps, backbone_of in ((network.backbone_maps, network.backbone), (folded.maps, folded.backbone)):
        with torch.inference_mode():
            _, c4, c5 = backbone_of(torch.rand(2, 1, 96, 64))
            fine = without_stride(maps.last)(c4)
        assert fine.shape[2:] == c4.shape[2:]
        torch.testing.assert_close(fine[..., ::2, ::2], c5, rtol=1e-4, atol=1e-5 * float(c5.abs().max()))
        assert (fine[..., 1::2, 1::2] - c5).abs().max() > 0.01 * c5.abs().max()
    with torch.inference_mode():
        _, c4, c5 = folded.backbone(torch.rand(1, 1, 64, 64))
        torch.testing.assert_close(folded.fine_c5(c4)[..., ::2, ::2], c5, rtol=1e-4, atol=1e-5 * float(c5.abs().max()))


def test_the_block_stays_as_it_is_and_lends_its_tensors():
    network = FeCNN("resnet50").eval()
    block = network.backbone_maps.last
    before = repr(block)
    fine = without_stride(block)
    assert repr(block) == before != repr(fine)
    assert [id(p) for p in fine.parameters()] == [id(p) for p in block.parameters()]
    assert [id(b) for b in fine.buffers()] == [id(b) for b in block.buffers()]


def test_low_precision_gives_the_same_values_too():
    torch.manual_seed(0)
    folded = FoldedFeCNN(FeCNN("resnet18").eval(), torch.bfloat16)
    with torch.inference_mode():
        _, c4, c5 = folded.backbone(torch.rand(1, 1, 64, 64))
        fine = folded.fine_c5(c4)
    assert fine.dtype == torch.bfloat16
    torch.testing.assert_close(fine[..., ::2, ::2], c5, rtol=0.02, atol=0.02 * float(c5.abs().max()))
