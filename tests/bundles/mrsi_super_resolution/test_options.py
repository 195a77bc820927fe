from mrsi_super_resolution.options import SuperResolutionOptions


def test_the_default_point_spread_is_the_mean_over_a_voxel() -> None:
    assert SuperResolutionOptions.model_fields["psf"].default == "block"


def test_methods_of_the_other_bundle_are_no_options_here() -> None:
    (line,) = SuperResolutionOptions.problems_of({"method": 2})
    assert line.startswith("--method: is no option of this bundle; the options are dataset_dir, output_dir, ")
