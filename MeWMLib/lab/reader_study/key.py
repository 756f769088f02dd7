"""The key of a study: what each case is. It lies outside of the study's folder, and only its owner reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import StudyError
from MeWMLib.core.io import atomic_path, json_text
from MeWMLib.core.private_files import private
from MeWMLib.core.reader_study import REAL, SIMULATED, Study
from MeWMLib.core.records import from_plain, read_json, record_to_plain

FORMAT = "mewm-study-key/1"


@dataclass(frozen=True)
class KeyCase:
    """What a case is.

    Attributes:
        truth: `REAL` or `SIMULATED`.
        methods: of a simulated case the one that made it; of a real one all that it is compared with.
        patient: whose scan it is.
        ct, labels: the files.
        numbers: of the plain readers (`plain.PLAIN`).
    """

    truth: str
    methods: tuple[str, ...]
    patient: str
    ct: str
    labels: str
    numbers: dict[str, float | None]

    def __post_init__(self) -> None:
        right = len(self.methods) == 1 if self.truth == SIMULATED else self.truth == REAL and len(self.methods) > 0
        if not right:
            raise StudyError(
                what="A case of the key is neither a scan nor simulated by one method",
                given=f"{self.truth!r:.40}, {', '.join(self.methods)}",
            )


@dataclass(frozen=True)
class Key:
    """The key.

    Attributes:
        study: id of its study.
        seed: of every draw.
        cases: name to what it is.
        notes: what about the study a reader of its results must know.
    """

    study: str
    seed: int
    cases: dict[str, KeyCase]
    notes: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(dict.fromkeys(m for name in sorted(self.cases) for m in sorted(self.cases[name].methods)))

    def names(self, method: str, truth: str) -> tuple[str, ...]:
        """Cases by which a method is judged, of one kind."""
        return tuple(sorted(n for n, one in self.cases.items() if method in one.methods and one.truth == truth))

    def is_real(self, case: str) -> bool:
        """True for a scan."""
        return self.cases[case].truth == REAL

    def numbers(self, method: str, truth: str) -> list[Mapping[str, float | None]]:
        """The plain readers' numbers of these cases."""
        return [self.cases[name].numbers for name in self.names(method, truth)]


def write_key(key: Key, path: Path) -> None:
    """Write the key, readable by its owner alone.

    Raises:
        OutputError: it cannot be written.
    """
    text = json_text({"format": FORMAT, **record_to_plain(key)}, path)
    with atomic_path(path) as temporary, private(temporary, "w") as file:
        file.write(text)


def read_key(path: Path, study: Study) -> Key:
    """Read the key of a study.

    Raises:
        StudyError: it is missing, of another study, or does not hold the study's cases.
    """
    remedy = "Give the key that `mewm study make` wrote beside the study, with --key"
    plain: dict[str, Any] = read_json(path, "The key", StudyError, remedy, require={"format": str})
    if plain.pop("format") != FORMAT:
        raise StudyError(what="The key is of another format", given=str(path), remedy=f"Give {FORMAT}")
    key = from_plain(Key, plain, "the key", StudyError, remedy)
    if key.study != study.id or set(key.cases) != set(study.cases):
        raise StudyError(what="The key belongs to another study", given=f"{path}: {key.study}", remedy=remedy)
    return key


def default_key(folder: Path) -> Path:
    """Where the key of a study lies unless another place is given: beside its folder."""
    whole = Path(folder).absolute()
    return whole.with_name(f"{whole.name}_key.json")
