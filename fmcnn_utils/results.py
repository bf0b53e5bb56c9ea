"""Files that the commands write: kept tables, whole or not at all, and what can be computed again.

``make paper`` writes the tables of ``results/rruff``, but for those that ``made_by`` names.
Notebooks, figures and the README read them.
"""

from __future__ import annotations

import gzip
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas as pd
import pooch

#: The repository.
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
TABLES = ROOT / "results" / "rruff"
FIGURES = ROOT / "figures"

#: Raise it when a change of the code changes what is computed: cached results of other versions
#: are not used. A change of comments, names or speed does not need it.
CODE_VERSION = 1


class UserError(ValueError):
    """Something that the user can mend; the message is one sentence that says how."""


def in_a_sentence(command: Callable[[], int | None]) -> None:
    """Run a command and exit: what the user can mend is said in one sentence, without a traceback.

    Exit codes: what ``command`` returns, 2 for such a sentence, 130 after Ctrl-C.
    """
    try:
        sys.exit(command())
    except (UserError, FileNotFoundError, PermissionError, ConnectionError) as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; run it again to go on", file=sys.stderr)
        sys.exit(130)


def cache_folder() -> Path:
    """``data/cache``, or the user's cache folder where that cannot be written to."""
    return DATA / "cache" if os.access(DATA, os.W_OK) else Path(pooch.os_cache("fmcnn-companion"))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, moved onto it if the block ends well, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True)
class Cache:
    """Results of long computations, a file for each in ``folder``; None keeps nothing.

    A file is named after everything that its result depends on, and ``CODE_VERSION``. It is
    gzipped, so that a damaged one is found by its checksum; it is then computed again.
    """

    folder: Path | None

    def path(self, *depends_on) -> Path | None:
        """The file of a result that depends on these: anything that joblib can hash."""
        key = joblib.hash([CODE_VERSION, *depends_on])
        return self.folder / f"{key}.pkl.gz" if self.folder else None

    def get(self, path: Path | None):
        """What is kept at ``path``; None if there is nothing, or it is damaged."""
        try:
            return joblib.load(path) if path and path.exists() else None
        except Exception:  # a damaged pickle may raise anything
            warnings.warn(f"{path} is damaged and computed again", stacklevel=2)
            return None

    def put(self, path: Path | None, result) -> None:
        """Keep ``result``; a folder that cannot be written to is warned of."""
        try:
            if path:
                with atomic_write(path) as part:
                    joblib.dump(result, part, compress=("gzip", 1))
        except OSError as error:
            warnings.warn(f"cannot keep {path}: {error}", stacklevel=2)

    def call(self, function: Callable, *depends_on):
        """``function()``, kept: computed once for each value of ``depends_on``."""
        path = self.path(*depends_on)
        result = self.get(path)
        if result is None:
            result = function()
            self.put(path, result)
        return result


def write(table: pd.DataFrame, name: str) -> None:
    """Write a table to ``results/rruff/NAME``, gzipped if the name ends in ``.gz``."""
    write_text(TABLES / name, table.to_csv(index=False, lineterminator="\n"))


def write_text(path: Path, text: str) -> None:
    """Write a text, the same bytes at each call: gzip's time and file name are left out."""
    content = text.encode()
    with atomic_write(path) as part:
        part.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def read(name: str) -> pd.DataFrame:
    """A kept table, by its name without ``.csv``; a missing one is told with what makes it."""
    for path in (TABLES / f"{name}.csv", TABLES / f"{name}.csv.gz"):
        if path.exists():
            return pd.read_csv(path)
    raise FileNotFoundError(f"results/rruff/{name}.csv is missing: `{made_by(name)}` makes it")


def made_by(name: str) -> str:
    """The command that makes a kept table or figure."""
    command = {"atlas": "atlas", "search": "search", "fmcnn": "pretrained", "validation": "search"}
    command |= {"identify": "identifier", "beyond": "beyond"}
    return f"make {command.get(name.partition('_')[0], 'paper')} DATA=path/to/archive.zip"
