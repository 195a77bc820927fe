import pytest

from mrsikit.runtime.file_names import NO_MAPS, SAME, read_name


@pytest.mark.parametrize(
    ("stem", "base", "session", "metabolite", "kind"),
    [
        ("sub-01_NAA", "sub-01_NAA", "sub-01", "NAA", ""),
        ("NAA", "NAA", "", "NAA", ""),
        ("patient7", "patient7", "patient7", "", ""),
        ("K_01_Cr_PCr_crlb", "K_01_Cr_PCr", "K_01", "Cr+PCr", "crlb"),
        ("K_01_MM20_Lip20", "K_01_MM20_Lip20", "K_01", "MM20+Lip20", ""),
        ("sub-01_met-tCr_desc-signal_mrsi", "sub-01_met-tCr", "sub-01", "tCr", ""),
        ("sub-01_met-XY_desc-crlb_mrsi", "sub-01_met-XY", "sub-01", "XY", "crlb"),
        ("sub-01_desc-brainmask_mrsi", "sub-01", "sub-01", "", "brain"),
        ("sub-01_run-2_NAA", "sub-01_run-2_NAA", "sub-01", "NAA", ""),
        ("pat1-NAA", "pat1-NAA", "pat1", "NAA", ""),
        ("brain", "", "", "", "brain"),
        ("x_T1w", "x", "x", "", "t1"),
        ("NAA_flair", "NAA", "", "NAA", "flair"),
        ("NAA_SD", "NAA", "", "NAA", "sd"),
        ("t1_study_NAA", "t1_study_NAA", "t1_study", "NAA", ""),
    ],
)
def test_names_are_read(stem: str, base: str, session: str, metabolite: str, kind: str) -> None:
    assert read_name(stem) == (base, session, metabolite, kind)


def test_two_people_are_two_sessions() -> None:
    assert read_name("sub-01_NAA").session != read_name("sub-02_NAA").session
    assert read_name("NAA_1").session != read_name("NAA_2").session


def test_every_other_spelling_leads_to_a_word() -> None:
    assert set(SAME.values()) <= set(NO_MAPS)
