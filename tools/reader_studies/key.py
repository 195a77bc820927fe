"""Key of a reader study: what each code on the page stands for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrsikit.io import InputError
from mrsikit.io.atomic import write_text_atomically


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Criterion by which readers score a map.

    Attributes:
        name: name in the CSV.
        question: question on the page.
        optional: whether a map may have nothing to score, such as one without a tumour.
    """

    name: str
    question: str
    optional: bool = False


METABOLITE = ", metabolite "
"""Text in the name of a case, between the name of the file and the number of the metabolite."""

CRITERIA = (
    Criterion(name="tumour boundaries", question="Boundaries of the tumour", optional=True),
    Criterion(name="tumour texture", question="Texture and intensity inside the tumour", optional=True),
    Criterion(name="healthy landmarks", question="Landmarks of healthy tissue"),
    Criterion(name="healthy texture", question="Texture of healthy tissue"),
)
"""Criteria of Li et al 2022 (doi:10.1093/noajnl/vdac071), the paper of mrsi_gan_super_resolution."""

OPTIONAL = frozenset(one.name for one in CRITERIA if one.optional)
"""Criteria that may have no score."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """Meaning of the codes of a study.

    Attributes:
        study: name of the study on the page and in every CSV: a digest of all other attributes.
        title: title of the page.
        methods: names of the methods.
        cases: name of each case, by code.
        maps: code of the case and name of the method of each map, by code.
        repeated: codes of the cases that are shown twice.
        images: digest of the images on the page.
    """

    title: str
    methods: tuple[str, ...]
    cases: Mapping[str, str]
    maps: Mapping[str, tuple[str, str]]
    repeated: tuple[str, ...]
    images: str

    @property
    def study(self) -> str:
        """Digest of the content of the key."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:16]

    def _content(self) -> dict[str, Any]:
        return {
            "title": self.title, "methods": list(self.methods), "cases": dict(self.cases),
            "maps": {code: list(pair) for code, pair in self.maps.items()}, "repeated": list(self.repeated),
            "images": self.images,
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Write the key as JSON."""
        write_text_atomically(path, json.dumps({"study": self.study, **self._content()}, indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Key:
        """Read a key.

        Raises:
            InputError: the file cannot be read, is no key, or was changed after it was written.
        """
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
            key = cls(
                title=held["title"], methods=tuple(held["methods"]), cases=dict(held["cases"]),
                maps={code: (case, method) for code, (case, method) in held["maps"].items()},
                repeated=tuple(held["repeated"]), images=held["images"],
            )  # fmt: skip
            same = key.study == held["study"]
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: is no key of a reader study; give the .key.json beside the page") from error
        if not same:
            raise InputError(f"{path}: was changed after it was written; give the key as it came with the page")
        return key

    def shown(self) -> dict[tuple[str, bool], str]:
        """Code of the case of everything that a reader scores, by (code of a map, whether it is shown again)."""
        out = {(code, False): case for code, (case, _) in self.maps.items()}
        return out | {(code, True): case for code, (case, _) in self.maps.items() if case in self.repeated}


def patient_of(case: str) -> str:
    """Name of the patient of a case; the metabolites of one file are of one patient."""
    return case.split(METABOLITE, 1)[0]
