import pytest

from mrsikit.runtime.bids.names import read_bids_name


def test_participant_and_session() -> None:
    name = read_bids_name("sub-01_ses-2_space-orig_met-NAA_desc-signal_mrsi")
    assert name is not None
    assert (name.participant, name.session, name.suffix) == ("01", "2", "mrsi")
    assert read_bids_name("sub-01_T1w").session == ""


def test_a_derived_name_keeps_the_entities() -> None:
    name = read_bids_name("sub-01_ses-2_met-NAA_mrsimap")
    assert name.described("filled", "mask") == "sub-01_ses-2_met-NAA_desc-filled_mask"


NONE = ("NAA", "met-NAA_mrsi", "sub-01_NAA_mrsi", "sub-01_met-NAA_met-Cr_mrsi", "sub-01_met-NAA", "sub-_mrsi", "", "_")


@pytest.mark.parametrize("stem", NONE)
def test_other_names_are_none(stem: str) -> None:
    assert read_bids_name(stem) is None
