"""The pictures of the documentation."""

import figures
import matplotlib.image
import numpy as np


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
