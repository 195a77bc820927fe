from mrsikit.runtime.report.grouped_warnings import grouped, most_urgent_first, telling


def test_a_warning_stands_once_with_all_its_files_the_rarest_first() -> None:
    by_file = {"a": ["no mask"], "b": ["no mask", "odd"], "c": []}
    assert grouped(by_file) == [("odd", {"b": ""}), ("no mask", {"a": "", "b": ""})]


def test_numbers_that_differ_become_a_range() -> None:
    by_file = {
        "a": ["54% of the map is filled; trained up to 40%"],
        "b": ["9% of the map is filled; trained up to 40%"],
        "c": ["shifted by -3.5 mm at 3 T"],
        "d": ["shifted by +2 mm at 3 T"],
    }
    assert grouped(by_file) == [
        ("9 to 54% of the map is filled; trained up to 40%", {"a": "54", "b": "9"}),
        ("shifted by -3.5 to +2 mm at 3 T", {"d": "+2", "c": "-3.5"}),
    ]


def test_where_several_numbers_differ_the_worst_file_speaks() -> None:
    by_file = {
        "a": ["2 of 14 filled voxels"],
        "b": ["21 of 48 filled voxels"],
        "c": ["5 lost, 7 found"],
        "d": ["6 lost, 1 found"],
    }
    assert grouped(by_file) == [
        ("21 of 48 filled voxels (in b; others below)", {"b": "21 of 48", "a": "2 of 14"}),
        ("6 lost, 1 found (in d; others below)", {"d": "6, 1", "c": "5, 7"}),
    ]


def test_numbers_in_names_and_matrices_are_no_quantities() -> None:
    by_file = {"a": ["map_1.nii.gz: moved"], "b": ["map_2.nii.gz: moved"]}
    assert len(grouped(by_file)) == 2


def test_no_warnings() -> None:
    assert grouped({"a": [], "b": []}) == []


def test_results_that_are_out_of_date_come_first() -> None:
    stale = "was made before with other weights and not again: --overwrite true does"
    found = grouped({"a": ["rare", stale], "b": [stale]})
    assert [warning for warning, _ in found] == [stale, "rare"]


def test_a_warning_that_counts_something_says_more_than_a_rarer_one() -> None:
    by_file = {"a": ["odd", "3 voxels lost"], "b": ["2 voxels lost"], "c": ["odd"], "d": []}
    assert telling(by_file) == {"a": "3 voxels lost", "b": "2 voxels lost", "c": "odd", "d": ""}


def test_what_the_user_can_give_for_many_inputs_comes_before_all_but_what_is_out_of_date() -> None:
    stale = "was made before with other weights and not again: --overwrite true does"
    mask, noise = "cannot tell a smaller brain: give a brain mask", "the noise is unknown: give --noise"
    by_file = {
        "a": ["7 of 9 voxels filled", mask, stale],
        "b": ["odd", mask, noise],
        "c": ["2 of 4 voxels filled", "the file gives no delay"],
    }
    assert [warning[:20] for warning, _ in grouped(by_file)] == [
        text[:20] for text in (stale, mask, noise, "7 of 9 voxels filled", "odd", "the file gives no delay")
    ]
    assert most_urgent_first(by_file["a"]) == [stale, mask, "7 of 9 voxels filled"]
    assert most_urgent_first(by_file["b"]) == [mask, noise, "odd"]
