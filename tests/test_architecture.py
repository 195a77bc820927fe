"""Rules of the code base that no tool checks: who may import whom, and what never stands in the code."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLES = sorted(path.name for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())
SHARED = sorted((REPOSITORY / "shared").rglob("*.py"))
BUNDLE_FILES = [path for name in BUNDLES for path in sorted((REPOSITORY / "bundles" / name / name).rglob("*.py"))]
LIBRARY = SHARED + BUNDLE_FILES
EVERYTHING = [
    path
    for folder in ("shared", "bundles", "tests", "tools")
    for path in sorted((REPOSITORY / folder).rglob("*"))
    if path.suffix in {".py", ".json", ".md", ".conf", ".txt"}
]
# torchvision does not import beside the CPU build of torch; piq and lpips need it
FORBIDDEN_PACKAGES = {"torchvision", "piq", "lpips"}
# a user's own folder, or a place where a checkout or an environment stands on one machine
MACHINE_PATH = re.compile(r"""(?:^|[\s"'(=:])/(?:home|root|Users|work|mnt|data|opt)/\w""", re.MULTILINE)


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_packages(tree: ast.Module) -> set[str]:
    """Top-level names that a module imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when a module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from outside_functions(child)


def calls(nodes: Iterator[ast.AST]) -> set[str]:
    return {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}


def global_draws(names: set[str]) -> set[str]:
    """Calls that draw from, or seed, a random state that the whole process shares."""
    allowed = r"(np|numpy)\.random\.(default_rng|Generator|RandomState|SeedSequence|PCG64)"
    pattern = r"(np|numpy)\.random\.\w+|torch\.(manual_seed|seed|cuda\.manual_seed\w*)|random\.\w+|.*\bset_determinism"
    return {name for name in names if re.fullmatch(pattern, name) and not re.fullmatch(allowed, name)}


def offenders(paths: list[Path], find: Callable[[ast.Module], set[str]]) -> dict[str, set[str]]:
    """Files with what is found in them."""
    found = {relative(path): find(parse(path)) for path in paths}
    return {name: names for name, names in found.items() if names}


def test_shared_imports_no_bundle() -> None:
    assert not offenders(SHARED, lambda tree: imported_packages(tree) & set(BUNDLES))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_bundle_names_no_other_bundle(bundle: str) -> None:
    others = set(BUNDLES) - {bundle}
    folder = REPOSITORY / "bundles" / bundle
    assert not offenders(sorted((folder / bundle).rglob("*.py")), lambda tree: imported_packages(tree) & others)
    configs = [path.read_text(encoding="utf-8") for path in folder.glob("configs/*.json")]
    assert not [name for name in others for text in configs if re.search(rf"\b{name}\b", text)]


def test_library_logs_and_does_not_print() -> None:
    assert not offenders(LIBRARY, lambda tree: calls(ast.walk(tree)) & {"print"})


def test_library_does_not_touch_the_global_random_state() -> None:
    assert not offenders(LIBRARY, lambda tree: global_draws(calls(ast.walk(tree))))


def test_nothing_is_drawn_on_import() -> None:
    def drawn(tree: ast.Module) -> set[str]:
        return {name for name in calls(outside_functions(tree)) if re.search(r"\brandom\b|\brand|manual_seed", name)}

    assert not offenders(LIBRARY, drawn)


def test_no_forbidden_package() -> None:
    python = [path for path in EVERYTHING if path.suffix == ".py"]
    assert not offenders(python, lambda tree: imported_packages(tree) & FORBIDDEN_PACKAGES)


def test_no_path_of_one_machine() -> None:
    found = {relative(path): MACHINE_PATH.findall(path.read_text(encoding="utf-8")) for path in EVERYTHING}
    assert not {name: paths for name, paths in found.items() if paths}


def test_rules_find_what_they_forbid() -> None:
    bad = ast.parse("import numpy as np\nfrom mrsi_inpainting.a import b\nx = np.random.rand(3)\ndef f(): print(1)")
    assert imported_packages(bad) == {"numpy", "mrsi_inpainting"}
    assert "print" in calls(ast.walk(bad))
    forbidden, allowed = {"np.random.rand", "torch.manual_seed"}, {"np.random.default_rng", "self.R.rand", "rng.normal"}
    assert global_draws(forbidden | allowed) == forbidden
    assert calls(outside_functions(bad)) == {"np.random.rand"}
    assert MACHINE_PATH.search('open("' + "/" + 'home/user/map.nii")')
    assert not MACHINE_PATH.search("map/home/x, https://a.b" + "/work" + "/c and maps/data/")
