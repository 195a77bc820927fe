import pytest
import torch

from mrsikit.transforms.hfab_cohort import (
    FINE,
    NAMES,
    TEST_MAPS,
    TEST_PATIENTS,
    TRAINING_MAPS,
    TRAINING_PATIENTS,
    CohortMaps,
    HfabCohortd,
    cohort,
)


def test_the_cohort_has_the_papers_numbers() -> None:
    training = cohort(TRAINING_PATIENTS, TRAINING_MAPS, seed=7)
    assert sum(patient["slices"] for patient in training) * len(NAMES) == 15_000
    assert {patient["slices"] for patient in training} <= set(range(5, 11))  # the paper: 5 to 10 a patient
    assert [patient["patient"] for patient in training] == list(range(7, 357))
    assert {patient["slices"] for patient in cohort(TEST_PATIENTS, TEST_MAPS, seed=0)} == {1}


@pytest.fixture(scope="module")
def made() -> dict[str, torch.Tensor]:
    return HfabCohortd()({"patient": 3, "slices": 2})


def test_a_patient_has_five_maps_of_each_slice_and_is_the_same_each_time(made: dict[str, torch.Tensor]) -> None:
    assert tuple(made["maps"].shape) == (2, len(NAMES), FINE, FINE)
    assert tuple(made["flair"].shape) == (2, FINE, FINE)
    assert made["maps"].dtype == torch.float16
    assert (made["maps"].amax((2, 3)) == 1).all()
    assert (made["maps"] >= 0).all()
    again = HfabCohortd()({"patient": 3, "slices": 2})
    assert torch.equal(made["maps"], again["maps"])
    assert torch.equal(made["flair"], again["flair"])
    outside = made["flair"][0] < 0.01
    assert outside.any()
    assert float(made["maps"][0][:, outside].max()) < 0.5


def test_ratios_are_those_of_the_maps(made: dict[str, torch.Tensor]) -> None:
    naa, _, cho, ratio, _ = made["maps"][0].float()
    tissue = (naa > 0.3) & (cho > 0.05)
    quotient = (cho / naa)[tissue]
    torch.testing.assert_close(ratio[tissue] / quotient, (ratio[tissue] / quotient).median().expand(int(tissue.sum())),
                               atol=0.02, rtol=0.02)  # fmt: skip


def test_every_map_is_an_item_with_the_flair_of_its_slice(made: dict[str, torch.Tensor]) -> None:
    patients = [{"patient": 3, "slices": 2}, {"patient": 4, "slices": 1}]
    stored = [made, {name: images[1:] for name, images in made.items()}]
    items = CohortMaps(patients, stored)
    assert len(items) == 15
    assert torch.equal(items[7]["map"][0], made["maps"][1, 2].float())
    assert torch.equal(items[7]["flair"][0], made["flair"][1].float())
    assert torch.equal(items[10]["map"][0], made["maps"][1, 0].float())
    assert len(CohortMaps(patients, stored, stop=10)) + len(CohortMaps(patients, stored, start=10)) == 15
    assert torch.equal(CohortMaps(patients, stored, start=10)[0]["map"], items[10]["map"])
