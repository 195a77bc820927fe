import pytest
import torch

from dmi_quantification.inferer import VoxelInferer


@pytest.mark.parametrize("voxels", [1, 3, 7, 100])
def test_chunks_give_what_one_call_gives_and_each_gets_the_acquisition(voxels: int) -> None:
    x = torch.randn(1, 2, 3 + 7, 16)
    sizes = []

    def network(part: torch.Tensor) -> torch.Tensor:
        """The energy of each FID times that of the rows before."""
        sizes.append(part.shape[2] - 3)
        torch.testing.assert_close(part[:, :, :3], x[:, :, :3])
        return ((part[:, :, 3:] ** 2).sum((1, 3)) * (part[:, :, :3] ** 2).sum())[:, None]

    found = VoxelInferer(peaks=2, voxels=voxels)(x, network)
    expected = (x[:, :, 3:] ** 2).sum((1, 3)) * (x[:, :, :3] ** 2).sum()
    torch.testing.assert_close(found, expected[:, None])
    assert max(sizes) <= voxels
    assert sum(sizes) == 7
