"""A DICOM series is one regular volume, or it is refused with one line that says where it is not."""

import locale
from pathlib import Path

import itk
import numpy as np
import pytest

from mrsikit.io import InputError, MapReader, read_map
from mrsikit.io.dicom import read_series

SPACING, STEP = (2.0, 3.0), 4.0
AXIAL = np.eye(3)[:2]


@pytest.fixture(autouse=True)
def _same_locale():
    """ITK's writer of DICOM leaves the process in the C locale, in which later tests could read no UTF-8."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def text(numbers) -> str:
    return "\\".join(f"{x:.6g}" for x in np.ravel(numbers))


def write_slice(path: Path, pixels, position, directions=AXIAL, **tags) -> None:
    """Write one slice (X, Y) with tags as ``t0018_0081="4.9"``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = itk.GetImageFromArray(np.ascontiguousarray(pixels.T))
    image.SetSpacing(SPACING)
    dictionary = image.GetMetaDataDictionary()
    given = {"0008|0060": "MR", "0020|000d": "1.2", "0020|000e": "1.2.3", "0018|0050": f"{STEP:g}"}
    given |= {"0020|0032": text(position), "0020|0037": text(directions)}
    given |= {tag[1:].replace("_", "|"): value for tag, value in tags.items()}
    for tag, value in given.items():
        dictionary[tag] = value
    saver = itk.ImageFileWriter[itk.Image[itk.SS, 2]].New(Input=image, FileName=str(path))
    saver.UseInputMetaDataDictionaryOn()
    saver.SetImageIO(itk.GDCMImageIO.New(KeepOriginalUID=True))
    saver.Update()


def volume(slices=24):
    return np.random.default_rng(0).integers(1, 1000, (12, 10, slices)).astype(np.int16)


def write_series(folder, values, chosen=None, *, directions=AXIAL, start=(-10.0, -20.0, -46.0), name="{}", **tags):
    """Write the chosen slices of a volume, stacked along the normal of the slices."""
    normal = np.cross(*directions)
    for k in range(values.shape[2]) if chosen is None else chosen:
        file = folder / f"{name.format(k)}.dcm"
        own = {"t0020_0013": str(k), "t0008_0018": f"1.2.3.{name.format(k)}"} | tags
        write_slice(file, values[:, :, k], np.array(start) + STEP * k * normal, directions, **own)


def line(folder) -> str:
    with pytest.raises(InputError) as found:
        read_map(folder)
    assert "\n" not in str(found.value)
    assert str(found.value).startswith(f"{folder}: ")
    return str(found.value)


def test_a_whole_series_is_read_by_its_positions_whatever_the_names_and_numbers(tmp_path):
    values = volume()
    order = np.random.default_rng(1).permutation(24)
    for k in range(24):
        write_series(tmp_path / "a", values, [k], name=f"{order[k]}-{{}}", t0020_0013=str(order[k]))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    found, affine = read_map(tmp_path / "a")
    np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(affine, [[-2, 0, 0, 10], [0, -3, 0, 20], [0, 0, 4, -46], [0, 0, 0, 1]], atol=1e-9)


def test_oblique_slices_with_rounded_positions_are_read(tmp_path):
    turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))
    values = volume(9)
    write_series(tmp_path / "a", values, directions=turn[:, :2].T.round(4))
    found, affine = read_map(tmp_path / "a")
    normal = np.cross(*turn[:, :2].T)
    np.testing.assert_allclose(np.sort(found.sum((0, 1))), np.sort(values.sum((0, 1))))
    np.testing.assert_allclose(np.abs(affine[:3, 2]), np.abs(STEP * normal), atol=2e-3)


def test_a_series_in_a_folder_of_its_own_and_a_lone_slice_are_read(tmp_path):
    write_series(tmp_path / "a" / "DICOM" / "s1", volume(3))
    np.testing.assert_array_equal(read_map(tmp_path / "a")[0], volume(3))
    write_series(tmp_path / "b", volume(1))
    assert read_map(tmp_path / "b")[0].shape == (12, 10, 1)


def test_missing_slices_are_named_with_their_positions(tmp_path):
    write_series(tmp_path / "a", volume(), [k for k in range(24) if k not in (5, 6, 17)])
    found = line(tmp_path / "a")
    assert "lacks slices at -26, -22, 22 mm" in found
    assert "21 of 24" in found


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"t0018_0081": "7.4"}, "EchoTime (4.9, 7.4)"),
        ({"t0008_0008": "ORIGINAL\\PRIMARY\\P"}, "ImageType (ORIGINAL/PRIMARY/M, ORIGINAL/PRIMARY/P)"),
        ({"t0020_0100": "2"}, "TemporalPositionIdentifier (1, 2)"),
        ({}, "copies"),
    ],
    ids=["two echoes", "magnitude and phase", "two frames", "copies"],
)
def test_doubled_slices_are_named_with_what_tells_them_apart(tmp_path, tags, words):
    first = {"t0018_0081": "4.90", "t0008_0008": "ORIGINAL\\PRIMARY\\M", "t0020_0100": "1"}
    write_series(tmp_path / "a", volume(), **first)
    write_series(tmp_path / "a", volume(), name="z{}", **first | tags)
    found = line(tmp_path / "a")
    assert words in found
    assert "2 images of one slice, at -46, -42, " in found
    write_series(tmp_path / "b", volume(), **first)
    write_series(tmp_path / "b", volume(), [7], name="z{}", **first | tags)
    found = line(tmp_path / "b")
    assert words in found
    assert "at -18 mm" in found


def test_a_series_of_two_contrasts_is_refused_though_its_positions_are_regular(tmp_path):
    write_series(tmp_path / "a", volume(), range(0, 24, 2), t0018_0081="4.9")
    write_series(tmp_path / "a", volume(), range(1, 24, 2), t0018_0081="7.4")
    assert "EchoTime (4.9, 7.4)" in line(tmp_path / "a")


def test_uneven_turned_and_shifted_slices_are_refused(tmp_path):
    for k, z in enumerate((0.0, 4.0, 8.0, 13.7, 18.0)):
        write_slice(tmp_path / "a" / f"{k}.dcm", volume()[:, :, k], (0, 0, z))
    assert "4 to 5.7 mm apart, unlike the others after 8 mm" in line(tmp_path / "a")
    for k in range(4):
        write_slice(tmp_path / "b" / f"{k}.dcm", volume()[:, :, k], (2.0 * k, 0, 4.0 * k))
    assert "up to 6 mm beside the first" in line(tmp_path / "b")
    write_series(tmp_path / "c", volume(3))
    write_series(tmp_path / "c", volume(3), directions=np.eye(3)[1:], name="z{}")
    assert "two or more orientations" in line(tmp_path / "c")
    write_series(tmp_path / "d", volume(3))
    write_slice(tmp_path / "d" / "3.dcm", volume()[:8, :, 3], (-10, -20, -34))
    assert "2 matrix or voxel sizes" in line(tmp_path / "d")


def test_what_gives_no_position_is_refused(tmp_path):
    write_series(tmp_path / "a", volume(3))
    for path in (tmp_path / "a").iterdir():  # the library writes a position always
        path.write_bytes(path.read_bytes().replace(b"\x20\x00\x32\x00", b"\x20\x00\x33\x00"))
    assert "give no position" in line(tmp_path / "a")


def write_frames(path, values, order):
    """Write one file of several frames whose positions are those of ``order``."""
    path.parent.mkdir()
    image = itk.GetImageFromArray(np.ascontiguousarray(values[:, :, order].T))
    image.SetSpacing((*SPACING, STEP))
    image.SetOrigin((-10.0, -20.0, 10.0))
    image.GetMetaDataDictionary()["0008|0016"] = "1.2.840.10008.5.1.4.1.1.4.1"
    image.GetMetaDataDictionary()["0008|0060"] = "MR"
    saver = itk.ImageFileWriter[itk.Image[itk.SS, 3]].New(Input=image, FileName=str(path))
    saver.UseInputMetaDataDictionaryOn()
    saver.SetImageIO(itk.GDCMImageIO.New())
    saver.Update()
    content = path.read_bytes()
    for n in range(len(order)):  # the library writes the frames in order, so their positions are changed here
        content = content.replace(f"-10\\-20\\{10 + 4 * n}".encode(), f"-10\\-20\\@{n:X}".encode())
    for n, k in enumerate(order):
        content = content.replace(f"-10\\-20\\@{n:X}".encode(), f"-10\\-20\\{10 + 4 * k}".encode())
    path.write_bytes(content)


def test_the_frames_of_one_file_are_put_in_order_and_checked(tmp_path):
    values = volume(5)
    write_frames(tmp_path / "a" / "a.dcm", values, [4, 0, 2, 1, 3])
    found, affine = read_map(tmp_path / "a")
    np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(affine, [[-2, 0, 0, 10], [0, -3, 0, 20], [0, 0, 4, 10], [0, 0, 0, 1]], atol=1e-9)
    write_frames(tmp_path / "b" / "a.dcm", values, [0, 1, 4])
    assert "lacks slices at 18, 22 mm" in line(tmp_path / "b")
    write_frames(tmp_path / "c" / "a.dcm", values, [0, 1, 1, 2])
    assert "2 images of one slice, at 14 mm" in line(tmp_path / "c")


def test_a_broken_file_is_named(tmp_path):
    write_series(tmp_path / "a", volume(3))
    path = tmp_path / "a" / "1.dcm"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"1\.dcm"):
        read_series(tmp_path / "a")
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1\.dcm"):
        read_series(tmp_path / "a")


def test_a_map_may_be_a_series(tmp_path):
    write_series(tmp_path / "NAA", volume(3))
    reader = MapReader()
    assert reader.verify_suffix(tmp_path / "NAA")
    values, meta = reader.get_data(reader.read(tmp_path / "NAA"))
    assert values.shape == (12, 10, 3)
    np.testing.assert_allclose(np.abs(np.diag(meta["affine"])), [2, 3, 4, 1])
