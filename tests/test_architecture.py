"""Rules of the code base that no tool checks. ruff and import-linter (pyproject.toml) hold the others."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLES = sorted(path.name for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())
SHARED = sorted((REPOSITORY / "shared").rglob("*.py"))
BUNDLE_FILES = [path for name in BUNDLES for path in sorted((REPOSITORY / "bundles" / name / name).rglob("*.py"))]
LIBRARY = SHARED + BUNDLE_FILES
TOOLS = sorted((REPOSITORY / "tools").rglob("*.py"))
CONFIGS = sorted((REPOSITORY / "bundles").glob("*/configs/*.json"))
EVERYTHING = [
    path
    for folder in ("shared", "bundles", "tests", "tools", "docs", ".ci", ".github")
    for path in sorted((REPOSITORY / folder).rglob("*"))
    if path.suffix in {".py", ".json", ".md", ".conf", ".txt", ".yml"} or path.name == "run"
] + [path for path in sorted(REPOSITORY.iterdir()) if path.suffix in {".md", ".toml", ".yaml"}]
# a user's own folder, or a place where a checkout or an environment stands on one machine
MACHINE_PATH = re.compile(r"""(?:^|[\s"'(=:])/(?:home|root|Users|work|mnt|data|opt)/\w""", re.MULTILINE)
MOST_ROOMS = 12
# folders whose content moved to rooms named by the field's words
FORMER_ROOMS = {"sharpening", "baselines", "synthesis"}

# Words that are no terms of the field, or that this project names otherwise (CONTRIBUTING.md). No identifier holds one.
FORBIDDEN_WORDS = {
    *("told", "tell", "seen", "doubt", "beside", "evidence", "gaps", "aside", "paper", "published", "findings"),
    *("sharpen", "sharpened", "sharpening", "sharpener", "sharper", "verdict", "verdicts", "hole", "holes"),
    *("baseline", "baselines", "frame"),
}
FORBIDDEN_PHRASE = "linear_start"
# identifier -> where it may stand, and why
WORD_EXCEPTIONS = {
    "holes": (  # an output that users already have
        "bundles/mrsi_inpainting/*",
        "tools/benchmarks/mrsi_inpainting.py",
        "tools/benchmarks/excited_volumes.py",
    ),
    "baseline": ("shared/mrsikit/fitting/linear_combination.py",),  # of a spectrum: the field's word
    "binary_fill_holes": ("*",),  # scipy's
    "DataFrame": ("*",),  # of pandas
}


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
    """Calls that draw from, or seed, a random state that the whole process shares; ruff's NPY002 finds numpy's."""
    pattern = r"torch\.(manual_seed|seed|cuda\.manual_seed\w*)|random\.\w+|(.*\.)?set_determinism"
    return {name for name in names if re.fullmatch(pattern, name)}


def offenders(paths: list[Path], find: Callable[[ast.Module], set[str]]) -> dict[str, set[str]]:
    """Files with what is found in them."""
    found = {relative(path): find(parse(path)) for path in paths}
    return {name: names for name, names in found.items() if names}


def identifiers(tree: ast.Module) -> set[str]:
    """Names of functions, classes, arguments, variables, attributes, keywords and imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names |= {*name.split("."), *([other] if other else [])}
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.add(name)
    return names


def keys(config: Any) -> set[str]:
    """Names among the keys of a config, at any depth; names of files are none."""
    if isinstance(config, list):
        return set().union(*map(keys, config))
    if not isinstance(config, dict):
        return set()
    parts = {part for key in config for part in re.split("::|#", key)}
    return {part for part in parts if part.isidentifier()}.union(*map(keys, config.values()))


def words(identifier: str) -> list[str]:
    """``fill_holes`` and ``FillHoles``: fill, holes."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


def forbidden(names: set[str], file: str) -> set[str]:
    """Names that hold a forbidden word or phrase, and are no exception in the file."""
    found = {name for name in names if FORBIDDEN_WORDS & set(words(name)) or FORBIDDEN_PHRASE in "_".join(words(name))}
    return {name for name in found if not any(fnmatch(file, place) for place in WORD_EXCEPTIONS.get(name, ()))}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_configs_name_no_other_bundle(bundle: str) -> None:
    configs = [path.read_text(encoding="utf-8") for path in CONFIGS if path.parts[-3] == bundle]
    assert not [name for name in set(BUNDLES) - {bundle} for text in configs if re.search(rf"\b{name}\b", text)]


def test_library_does_not_touch_the_global_random_state() -> None:
    assert not offenders(LIBRARY, lambda tree: global_draws(calls(ast.walk(tree))))


def test_nothing_is_drawn_on_import() -> None:
    def drawn(tree: ast.Module) -> set[str]:
        return {name for name in calls(outside_functions(tree)) if re.search(r"\brandom\b|\brand|manual_seed", name)}

    assert not offenders(LIBRARY, drawn)


def test_no_path_of_one_machine() -> None:
    found = {relative(path): MACHINE_PATH.findall(path.read_text(encoding="utf-8")) for path in EVERYTHING}
    assert not {name: paths for name, paths in found.items() if paths}


def test_shared_has_few_rooms() -> None:
    rooms = {path.relative_to(REPOSITORY / "shared" / "mrsikit").parts[0] for path in SHARED} - {"__init__.py"}
    assert len(rooms) <= MOST_ROOMS, rooms


def test_former_rooms_are_gone() -> None:
    parts = {relative(path): {*path.relative_to(REPOSITORY).parent.parts, path.stem} for path in LIBRARY}
    assert not [file for file, names in parts.items() if FORMER_ROOMS & names]


def test_identifiers_are_words_of_the_field() -> None:
    found = {file: forbidden(identifiers(parse(REPOSITORY / file)), file) for file in map(relative, LIBRARY + TOOLS)}
    assert not {file: names for file, names in found.items() if names}


def test_config_keys_are_words_of_the_field() -> None:
    configs = {relative(path): json.loads(path.read_text(encoding="utf-8")) for path in CONFIGS}
    found = {file: forbidden(keys(config), file) for file, config in configs.items()}
    assert not {file: names for file, names in found.items() if names}


def test_rules_find_what_they_forbid() -> None:
    bad = ast.parse("import torch\nx = torch.rand(3)\ndef f(): torch.manual_seed(0)")
    assert calls(outside_functions(bad)) == {"torch.rand"}
    assert calls(ast.walk(bad)) == {"torch.rand", "torch.manual_seed"}
    drawing = {"random.random", "torch.manual_seed", "monai.utils.set_determinism"}
    assert global_draws(drawing | {"self.R.rand", "rng.normal"}) == drawing
    assert MACHINE_PATH.search('open("' + "/" + 'home/user/map.nii")')
    assert not MACHINE_PATH.search("map/home/x, https://a.b" + "/work" + "/c and maps/data/")


@pytest.mark.parametrize(
    "code",
    [
        "def sharpen(x): pass",
        "class MapSharpener: pass",
        "def f(published=1): pass",
        "def f(*, findings): pass",
        "TOLD_APART = 1",
        "self.holes = 1",
        "f(x.evidence)",
        "f(doubt=1)",
        "from a import linear_start",
        "import a.baselines",
        "import a as verdict",
        "without_gaps: int = 1",
        "[x for seen in y]",
        "with a as paper: pass",
    ],
)
def test_a_forbidden_word_is_found(code: str) -> None:
    assert len(forbidden(identifiers(ast.parse(code)), "shared/mrsikit/x.py")) == 1


def test_other_words_and_exceptions_pass() -> None:
    code = "import pandas as pd\ndef restore(whole, frames_of, foretell): return pd.DataFrame(binary_fill_holes(whole))"
    assert not forbidden(identifiers(ast.parse(code)), "shared/mrsikit/x.py")
    assert not forbidden({"holes"}, "bundles/mrsi_inpainting/mrsi_inpainting/predict.py")
    assert forbidden({"holes"}, "bundles/dmi_quantification/dmi_quantification/predict.py")
    assert keys({"a": [{"b": 1}], "network#holes::c": 1, "model_paper.pt": ""}) == {"a", "b", "network", "holes", "c"}
    assert words("FillHolesByDCT_of_2D") == ["fill", "holes", "by", "dct", "of", "d"]


def test_every_exception_is_used() -> None:
    used = {name for path in LIBRARY + TOOLS for name in identifiers(parse(path))}
    assert set(WORD_EXCEPTIONS) <= used
