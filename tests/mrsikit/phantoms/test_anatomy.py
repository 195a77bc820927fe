"""Anatomies from tissue maps, a T1, BrainWeb and the template."""

import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.utils import OptionalImportError

from mrsikit.phantoms.anatomy import Anatomy, from_brainweb, from_nifti, from_t1, from_tissue_maps, mni152
from mrsikit.phantoms.subject import Grid, VirtualSubject

HEAD = Grid((44, 52, 44), (4.0, 4.0, 4.0))


def centre_of(weight: torch.Tensor) -> np.ndarray:
    """Centre (mm) of a map on `HEAD`."""
    return ((HEAD.points()[0] * weight[..., None]).sum((0, 1, 2)) / weight.sum()).numpy()


def assert_looks_like_a_head(anatomy: Anatomy) -> None:
    """Right way up and facing forward: ventricles above the brain stem, cerebellum behind and below."""
    gm, wm, _, depth, ventricles = anatomy.look_up(HEAD.points()[0])[:5]
    tissue = gm + wm
    height = HEAD.points()[0][..., 2]
    ventricle = centre_of(ventricles)
    lowest = float(height[tissue > 0.5].min())
    base = centre_of(tissue * (height < lowest + 25))
    assert np.abs(ventricle[0]) < 6, "ventricles off the midline"
    assert ventricle[2] > base[2] + 30, "upside down"
    assert base[1] < ventricle[1] - 8, "the lowest part, cerebellum and stem, is not behind the ventricles"
    top = centre_of(tissue * (height > float(height[tissue > 0.5].max()) - 25))
    assert base[1] < top[1], "back to front"
    assert 20 < float(depth.max()) < 80


def write(folder, maps: dict[str, np.ndarray], **others: np.ndarray) -> dict:
    paths = {}
    for name, values in {**maps, **others}.items():
        if name != "affine":
            paths[name] = folder / f"{name}.nii.gz"
            nib.save(nib.Nifti1Image(values.astype(np.float32), maps["affine"]), paths[name])
    return paths


def test_maps_are_looked_up_in_millimetres_from_the_brain_centre(phantom, maps):
    where = torch.tensor([[40.0, 0, 0], [-40, 10, 0], [0, 0, 2], [0, 0, 100]])
    gm, wm, csf, depth, ventricles, to_ventricle = phantom.look_up(where)
    assert gm.tolist() == pytest.approx([1, 0, 0, 0], abs=0.02)
    assert wm.tolist() == pytest.approx([0, 1, 0, 0], abs=0.02)
    assert csf.tolist() == pytest.approx([0, 0, 1, 0], abs=0.02)
    assert depth.tolist() == pytest.approx([40, 39, 78, -12], abs=4)
    assert ventricles[2] > 0.9
    assert ventricles[[0, 1, 3]].max() < 0.05
    assert to_ventricle[2] < -1
    assert to_ventricle[[0, 1, 3]].min() > 10
    moved = maps["affine"].copy()
    moved[:3, 3] += [100, -50, 20]
    shifted = from_tissue_maps(**{**maps, "affine": moved})
    torch.testing.assert_close(shifted.look_up(where), phantom.look_up(where), atol=1e-3, rtol=0)


def test_a_flipped_storage_order_is_the_same_head(maps, phantom):
    flipped = {name: values[::-1].copy() for name, values in maps.items() if name != "affine"}
    affine = maps["affine"] @ np.array([[-1, 0, 0, 47], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    where = torch.tensor([[40.0, 7, 0], [-40, 10, 9]])
    torch.testing.assert_close(
        from_tissue_maps(**flipped, affine=affine).look_up(where), phantom.look_up(where), atol=1e-3, rtol=0
    )


def test_csf_left_out_is_what_grey_and_white_leave(maps, phantom):
    without = from_tissue_maps(maps["gm"], maps["wm"], None, maps["affine"])
    torch.testing.assert_close(without.maps[2], phantom.maps[2], atol=1e-6, rtol=0)


def test_bad_tissue_maps_are_refused(maps):
    for change in (
        {"wm": maps["wm"][1:]},
        {"csf": maps["csf"][..., 0]},
        {"tumour": maps["gm"][:-1]},
        {"gm": maps["gm"] * 0, "wm": maps["wm"] * 0, "csf": None},
        {"gm": maps["gm"] * 100},
        {"gm": np.where(maps["gm"] > 0, np.nan, 0)},
        {"wm": maps["wm"] - 2},
    ):
        with pytest.raises(ValueError, match="tissue maps"):
            from_tissue_maps(**{**maps, **change})
    flat = {name: values[..., 0] if name != "affine" else values for name, values in maps.items()}
    with pytest.raises(ValueError, match="3D"):
        from_tissue_maps(**flat)


def test_nifti_files_give_the_same_anatomy_as_their_arrays(maps, phantom, tmp_path):
    paths = write(tmp_path, maps)
    read = from_nifti(**paths)
    torch.testing.assert_close(read.maps, phantom.maps)
    torch.testing.assert_close(read.world_to_voxel, phantom.world_to_voxel)
    assert read.tumour is None


def test_a_tumour_mask_replaces_the_tissue_it_covers(maps, tmp_path):
    mask = np.zeros_like(maps["gm"])
    mask[30:36, 20:28, 20:28] = 3  # a label, not a fraction
    anatomy = from_nifti(**write(tmp_path, maps, tumour=mask))
    inside = torch.from_numpy(mask > 0)
    assert torch.equal(anatomy.tumour, inside.float())
    assert anatomy.maps[:3, inside].max() == 0
    tissues = VirtualSubject(1, anatomy=anatomy, tumours=0, deform=False).tissues(Grid((40, 40), (4.0, 4.0)))
    assert tissues.viable.max() > 0.9
    assert (tissues.gm + tissues.wm + tissues.csf + tissues.viable).max() <= 1 + 1e-4


def test_nifti_files_on_different_grids_are_refused(maps, tmp_path):
    paths = write(tmp_path, maps)
    moved = maps["affine"].copy()
    moved[0, 3] += 8
    for name, image in {
        "moved": nib.Nifti1Image(maps["wm"], moved),
        "cut": nib.Nifti1Image(maps["wm"][1:], maps["affine"]),
    }.items():
        nib.save(image, tmp_path / f"{name}.nii.gz")
        with pytest.raises(ValueError, match="wm map"):
            from_nifti(paths["gm"], tmp_path / f"{name}.nii.gz")


def test_the_template_is_a_head(template):
    assert_looks_like_a_head(template)
    assert template.averaged


@pytest.mark.timeout(900)  # 17 s on a free core, 2.7 GB: minutes on a busy machine
def test_brainweb_is_a_head_whose_fractions_add_up(data_folder):
    path = data_folder / "brainweb" / "brainweb_fuzzy_1.mat"
    if not path.is_file():
        pytest.skip("no BrainWeb file in the data folder")
    anatomy = from_brainweb(path)
    gm, wm, csf = anatomy.maps[:3]
    assert (gm + wm).max() <= 1 + 1e-5
    assert (gm + wm + csf).max() <= 1 + 1e-5
    assert min(float(m.min()) for m in (gm, wm, csf)) >= 0
    litres = {name: float(m.sum()) * 1e-6 for name, m in {"gm": gm, "wm": wm, "csf": csf}.items()}
    assert 0.5 < litres["gm"] < 1.2
    assert 0.4 < litres["wm"] < 0.9
    assert 0.15 < litres["csf"] < 0.8
    assert_looks_like_a_head(anatomy)
    assert not anatomy.averaged


@pytest.mark.slow
def test_a_skull_stripped_t1_with_a_real_glioma_is_segmented(data_folder):
    """dipy's classifier takes about 15 s on a free core."""
    folder = data_folder / "glioma_tcga_lgg" / "TCGA-DU-7294"
    t1, tumour = folder / "TCGA-DU-7294_t1_bet.nii.gz", folder / "simple.nii.gz"
    if not t1.is_file():
        pytest.skip("no glioma in the data folder")
    anatomy = from_t1(t1, tumour=tumour)
    gm, wm, csf = anatomy.maps[:3]
    assert (gm + wm + csf).max() <= 1 + 1e-4
    voxel = float(np.abs(np.linalg.det(np.linalg.inv(anatomy.world_to_voxel[:, :3].numpy()))))
    litres = {name: float(m.sum()) * voxel * 1e-6 for name, m in {"gm": gm, "wm": wm, "csf": csf}.items()}
    assert 0.3 < litres["gm"] < 1.1
    assert 0.3 < litres["wm"] < 1.0
    assert 0.05 < litres["csf"] < 0.7
    image = torch.from_numpy(np.asarray(nib.load(t1).dataobj, dtype=np.float32))
    means = [float(image[m > 0.9].mean()) for m in (csf, gm, wm)]
    assert means[0] < means[1] < means[2]
    assert anatomy.tumour is not None
    inside = anatomy.tumour > 0
    assert anatomy.maps[:3, inside].max() == 0
    assert VirtualSubject(0, anatomy=anatomy, tumours=0, deform=False).tissues(HEAD).viable.max() > 0.9


def test_a_bare_t1_needs_no_tumour_mask(tmp_path):
    """A phantom T1: white core bright, grey shell between, CSF dark around both and in the middle."""
    rng = np.random.default_rng(0)
    distance = np.linalg.norm(np.indices((56,) * 3) - 27.5, axis=0)
    classes = {"wm": (distance > 5) & (distance <= 17), "gm": (distance > 17) & (distance <= 23), "csf": distance <= 5}
    classes["csf"] |= (distance > 23) & (distance <= 26)
    t1 = 100.0 * classes["wm"] + 65 * classes["gm"] + 20 * classes["csf"]
    t1 = np.where(t1 > 0, t1 + rng.normal(0, 3, t1.shape), 0).clip(0)
    nib.save(nib.Nifti1Image(t1.astype(np.float32), np.diag([3.0, 3, 3, 1])), tmp_path / "t1.nii.gz")
    anatomy = from_t1(tmp_path / "t1.nii.gz", max_iterations=10)
    for k, name in enumerate(("gm", "wm", "csf")):
        assert float(anatomy.maps[k][torch.from_numpy(classes[name])].mean()) > 0.85, name
    assert anatomy.tumour is None


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    for name in ("nilearn.datasets", "dipy.segment.tissue"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OptionalImportError, match=r"nilearn is not installed: .* pip install 'mrsikit\[train\]'"):
        mni152.__wrapped__()
    with pytest.raises(OptionalImportError, match=r"dipy is not installed: .* pip install 'mrsikit\[train\]'"):
        from_t1(tmp_path / "t1.nii.gz")
