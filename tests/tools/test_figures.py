"""The pictures of the documentation."""

import matplotlib.image
import numpy as np
from torch.utils.tensorboard import SummaryWriter

import figures


def test_patients_are_drawn_to_the_file_asked_for_and_equal_from_a_seed(tmp_path):
    pictures = []
    for name in ("one", "again"):
        path = tmp_path / "new folder" / f"{name}.png"
        figures.main(["patients", str(path), "--number", "1", "--seed", "5"])
        pictures.append(matplotlib.image.imread(path))
    assert 1500 < pictures[0].shape[1] < 1700
    assert (pictures[0][..., :3].max(-1) > 0.3).mean() > 0.02
    np.testing.assert_array_equal(*pictures)


def test_a_patient_has_three_images_and_a_caption():
    images, caption = figures.patient(5, "high", None)
    assert [image.shape for image in images] == [(200, 240), (200, 240), (50, 60)]
    assert "high grade" in caption
    assert "no tumour" in figures.patient(5, None, 10.0)[1]


def test_losses_of_a_resumed_training_are_joined_and_drawn(tmp_path):
    for run, steps in ((1, range(1, 151)), (2, range(101, 301))):
        writer = SummaryWriter(tmp_path / "ours" / "tensorboard", filename_suffix=f".{run}")
        for step in steps:
            writer.add_scalar("training_loss", run + 1 / step, step)
        for epoch in sorted({step // 100 for step in steps} - {0}):
            writer.add_scalar("validation_loss", 0.5 * run, epoch)
        writer.close()
    (tmp_path / "subjects").mkdir()
    found = figures.losses(tmp_path / "ours")
    assert [step for step, _ in found["training_loss"]] == list(range(1, 301))
    assert dict(found["training_loss"])[100] < 2 < dict(found["training_loss"])[120]
    assert found["validation_loss"] == [(1, 1.0), (2, 1.0), (3, 1.0)]
    figures.main(["curves", str(tmp_path), str(tmp_path / "curves.png")])
    assert matplotlib.image.imread(tmp_path / "curves.png").shape[0] > 200
