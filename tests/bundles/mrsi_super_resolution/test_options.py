from mrsi_super_resolution.options import HfabOptions, SuperResolutionOptions


def test_the_default_point_spread_is_the_mean_over_a_voxel() -> None:
    assert SuperResolutionOptions.model_fields["psf"].default == "block"


def test_methods_of_the_other_bundle_are_no_options_here() -> None:
    (line,) = SuperResolutionOptions.problems_of({"method": 2})
    assert line.startswith("--method: is no option of this bundle; the options are dataset_dir, output_dir, ")


def test_the_published_network_refuses_what_it_cannot_do() -> None:
    given = {"rate": "low", "gated": "perhaps", "blocks": 5, "factor": 2, "psf": "kspace", "check": "true"}
    lines = HfabOptions.problems_of(given)
    assert {line.split()[0] for line in lines} == {f"--{name}" for name in given}
    assert len(lines) == len(given)
    good = {"rate": "high", "gated": "false", "blocks": 12, "factor": 4, "psf": "block", "check": "false", "noise": 0.3}
    assert HfabOptions.problems_of(good) == []
