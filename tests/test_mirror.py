"""Tests mirror modules: a module has the test file of its name, and a test file a module."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = REPOSITORY / "tests"
WITHOUT_A_TEST = {
    "shared/mrsikit/io/errors.py": "an exception without code; every test of bad input raises it",
}
"""Modules that need no test file, and why. An __init__.py, which holds imports alone, is never asked for one."""

END_TO_END = {"run", "export", "train"}
"""What a bundle does as a whole: its public command, its export and its training."""


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def mirrored() -> dict[str, Path]:
    """Test file that each module should have."""
    shared = REPOSITORY / "shared"
    places = {path: TESTS / path.relative_to(shared) for path in (shared / "mrsikit").rglob("*.py")}
    for bundle in (path for path in (REPOSITORY / "bundles").iterdir() if path.is_dir()):
        code = bundle / bundle.name
        places |= {path: TESTS / "bundles" / bundle.name / path.relative_to(code) for path in code.rglob("*.py")}
    return {
        name(module): place.with_name(f"test_{place.name}")
        for module, place in sorted(places.items())
        if module.name != "__init__.py"
    }


def is_end_to_end(path: Path) -> bool:
    return path.parent.parent == TESTS / "bundles" and path.stem.removeprefix("test_") in END_TO_END


def test_every_module_has_its_test_file() -> None:
    missing = [
        f"{module} has no {name(path)}"
        for module, path in mirrored().items()
        if not path.exists() and module not in WITHOUT_A_TEST
    ]
    assert not missing, "\n".join(missing)


def test_every_test_file_has_its_module() -> None:
    files = {path for folder in ("mrsikit", "bundles") for path in (TESTS / folder).rglob("test_*.py")}
    spare = sorted(name(path) for path in files - set(mirrored().values()) if not is_end_to_end(path))
    assert not spare, "no module has the name of\n" + "\n".join(spare)


def test_exceptions_are_needed() -> None:
    places = mirrored()
    assert not [module for module in WITHOUT_A_TEST if module not in places or places[module].exists()]
