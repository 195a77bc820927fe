import pytest

from mrsikit.runtime.file_names import NO_MAPS, SAME, is_time_point, read_name


@pytest.mark.parametrize(
    ("stem", "base", "session", "metabolite", "kind"),
    [
        ("sub-01_NAA", "sub-01_NAA", "sub-01", "NAA", ""),
        ("NAA", "NAA", "", "NAA", ""),
        ("patient7", "patient7", "patient7", "", ""),
        ("K_01_Cr_PCr_crlb", "K_01_Cr_PCr", "K_01", "Cr+PCr", "crlb"),
        ("K_01_Scyllo_crlb", "K_01_Scyllo", "K_01", "Scyllo", "crlb"),
        ("K_01_CrCH2", "K_01_CrCH2", "K_01", "CrCH2", ""),
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
        ("sub-01_brain_mask", "sub-01", "sub-01", "", "brain"),
        ("sub-01_NAA_brain_mask", "sub-01_NAA", "sub-01", "NAA", "brain"),
        ("CRLB_NAA", "NAA", "", "NAA", "crlb"),
        ("CrlbNAA", "NAA", "", "NAA", "crlb"),
        ("ConcNAA", "ConcNAA", "Conc", "NAA", ""),
        ("p7_NAA_sd_percent", "p7_NAA", "p7", "NAA", "sd"),
        ("snr_map", "", "", "", "snr"),
        ("mask_lesion", "mask", "mask", "", "seg"),
        ("sub-01_space-T1w_met-NAA_mrsi", "sub-01_space-T1w_met-NAA", "sub-01_space-T1w", "NAA", ""),
    ],
)
def test_names_are_read(stem: str, base: str, session: str, metabolite: str, kind: str) -> None:
    assert read_name(stem) == (base, session, metabolite, kind)


@pytest.mark.parametrize(
    ("kind", "stems"),
    [
        ("an MRI", "T1_reg 5_t1_mprage_sag_p2_iso t2_tse_tra t2flair MP2RAGE localizer sub-01_dwi"),
        ("a tissue map", "c1T1 mwp2T1 T1_pve_1 csf_prob GrayMatterFraction"),
        ("a segmentation", "aseg aparc+aseg T1_seg GliomaSeg_v2 tumour"),
        ("a mask", "lesion_mask hersenmasker qmask mask_01"),
        ("a field map", "b0map B1_map phasediff sub-01_magnitude1 flip_angle_map"),
        ("a frequency shift", "freqshift frequency_offset_hz"),
        ("a linewidth", "FWHMmap MeanLinewidth"),
        ("", "map map1 session2 brain1 brain_study_3T PD_01 T1_01 NAA_to_T1w NAA_masked tumor_NAA T1corrected_NAA"),
        ("", "Glc_baseline DMI_water_baseline SE_NAA NAA_phase2 NAA_tumor NAA_hippocampus tumor_01 lactate_dose1"),
    ],
)
def test_common_names(kind: str, stems: str) -> None:
    found = {stem: NO_MAPS.get(read_name(stem).kind, "") for stem in stems.split()}
    assert found == dict.fromkeys(found, kind)


def test_two_people_are_two_sessions() -> None:
    assert read_name("sub-01_NAA").session != read_name("sub-02_NAA").session
    assert read_name("NAA_1").session != read_name("NAA_2").session


def test_every_other_spelling_leads_to_a_word() -> None:
    assert set(SAME.values()) <= set(NO_MAPS)


def test_points_of_a_time_series_are_no_mris() -> None:
    series = ["Glc_t1", "Glc_t2", "Glc_t3"]
    assert all(is_time_point(stem, series) for stem in series[:2])
    assert not is_time_point("Glc_t1", ["Glc_t1", "Glc_t2", "Glc", "Glx_t3"])
    assert not is_time_point("t1", ["t1", "t3"])
