"""Options of a run. Names and defaults also stand at the top of ``configs/inference.json``, where MONAI needs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from pydantic import ValidationInfo, field_validator, model_validator

from mrsikit.runtime.options import Flag, OptionalPath, RunOptions, Sign, check_path_option, option

Sampling = Literal["random", "interpolate", "hybrid", "reconstruct"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)

Condition = Literal["both", "on", "off"]

Spread = Literal["posterior", "subset", "prior"]

EditOrder = Literal["header", "on_off_interleaved", "off_on_interleaved", "on_off_blocks", "off_on_blocks"]
"""How ON and OFF follow each other along the axis of transients; ``header``: as EditCondition says."""

MOST_TRANSIENTS = 1024
"""Most transients of one session, because a session is made in one batch."""

LARGEST_SEED = 2**32 - 1


class SynthesisOptions(RunOptions):
    """Options of ``mrs_vae_synthesis``.

    The validation context ``{"edited": True}`` says whether the network was trained on ON and OFF transients.
    """

    dataset_dir: OptionalPath = option(
        None, "folder of the measured sessions, or a datalist in JSON; random sampling needs none", use="run"
    )
    sampling: Sampling = option(
        "random",
        "`random`: new sessions. Of measured ones `interpolate`: between two of their transients; `hybrid`: the "
        "session drawn from its posterior, its transients around the measured ones; `reconstruct`: each transient, "
        "decoded",
    )
    number: int | None = option(
        None,
        "transients in all; with `interpolate` and `hybrid`, of each file",
        ge=1,
        example=320,
        shown="320, or as many as a file has",
    )
    transients: int | None = option(
        None, "transients of a new session, ON and OFF together", ge=1, example=32, shown="32"
    )
    condition: Condition = option("both", "`on`, `off`, or both in turn")
    edit_order: EditOrder = option(
        "header",
        "order of ON and OFF on the axis of transients: `header`, as EditCondition says; `..._interleaved`, in turn; "
        "`..._blocks`, one half and then the other",
    )
    sign: Sign = option(
        "auto",
        "`standard`: measured FIDs have NIfTI-MRS's sign; `conjugate`: the other; `auto`: conjugated where they say "
        "so beyond doubt",
    )
    seed: int = option(0, "same seed, same spectra", ge=0, le=LARGEST_SEED)
    noise: Flag = option(True, "`false`: spectra without noise")

    @field_validator("condition")
    @classmethod
    def _the_network_knows_the_edit(cls, value: str, info: ValidationInfo) -> str:
        if value != "both" and not (info.context or {}).get("edited", True):
            raise ValueError(f"--condition {value}: the network was trained on unedited data; leave it out")
        return value

    @model_validator(mode="after")
    def _options_fit_together(self, info: ValidationInfo) -> SynthesisOptions:
        edited = bool((info.context or {}).get("edited", True))
        if problems := [*self._against_sampling(), *self._counts(edited)]:
            raise ValueError("\n".join(problems))
        return self

    def _against_sampling(self) -> Iterator[str]:
        """Problems of options that the chosen sampling does not allow."""
        if self.sampling == "random":
            if self.dataset_dir is not None:
                yield "--dataset_dir: random sampling needs no data; leave it out, or give another --sampling"
            return
        if "dataset_dir" in self.model_fields_set and self.dataset_dir is None:
            check_path_option(None, "dataset_dir")
        if self.sampling == "reconstruct" and self.number is not None:
            yield "--number: a reconstruction has the transients of its file; leave it out"
        if self.sampling == "reconstruct" and self.condition != "both":
            yield "--condition: a reconstruction has the edits of its file; leave it out"
        if self.transients is not None:
            yield "--transients: is for random sampling; give --number, the new transients of each file"

    @property
    def _of_a_session(self) -> str:
        """Name of the option that says how many transients a session gets."""
        return "number" if self.sampling in ("interpolate", "hybrid") else "transients"

    def _counts(self, edited: bool) -> Iterator[str]:
        """Problems of the number of transients."""
        name = self._of_a_session
        most = getattr(self, name)
        if most is not None and most > MOST_TRANSIENTS:
            yield f"--{name} {most}: a session has at most {MOST_TRANSIENTS} transients"
        if self.condition == "both" and edited:
            for name in ("transients", "number"):
                value = getattr(self, name)
                if value is not None and value % 2:
                    yield f"--{name} {value}: ON and OFF come in pairs; give an even number"


class VanDeSandeOptions(SynthesisOptions):
    """Options of the published method (``reference_van_de_sande.json``): all its samplings need measured sessions."""

    reference: Literal["van_de_sande"] = option("van_de_sande", "the published method", use="files")
    sampling: Sampling = option(
        "random",
        "`random`: around an encoded transient; `interpolate`: between two; `hybrid`: around a point between two; "
        "`reconstruct`: each transient, decoded",
    )
    number: int | None = option(None, "new transients of each file", ge=1, example=320, shown="as many as a file has")
    noise: Flag = option(False, "the published method adds none")
    spread: Spread = option(
        "posterior",
        "unit of `--radius`: the standard deviation of the encoder's posterior, of the encoded subset, or of the prior",
    )
    radius: float = option(1.0, "standard deviation of `random` and `hybrid` about their point, in `--spread`", ge=0)
    subset: int | None = option(
        None, "transients of each edit that are encoded, the first n of a file", ge=1, example=8, shown="all"
    )

    @property
    def _of_a_session(self) -> str:
        return "number"

    def _against_sampling(self) -> Iterator[str]:
        if "dataset_dir" in self.model_fields_set and self.dataset_dir is None:
            check_path_option(None, "dataset_dir")
        if self.noise:
            yield "--noise true: the published method adds no noise; leave it out"
        if self.transients is not None:
            yield "--transients: is of new sessions, which this method cannot make; give --number"
        if self.sampling == "reconstruct":
            for name in ("number", "subset"):
                if getattr(self, name) is not None:
                    yield f"--{name}: a reconstruction has the transients of its file; leave it out"
            if self.condition != "both":
                yield "--condition: a reconstruction has the edits of its file; leave it out"
