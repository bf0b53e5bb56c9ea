"""The FMCNN that comes with the code: trained on RRUFF, with spectra that it has never seen.

``results/rruff/fmcnn.keras`` is an ordinary Keras file; ``fmcnn.json`` beside it says what it was
made from, and ``fmcnn_held_out.csv`` what it says about each spectrum held out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from . import crossval, curation, fits, protocol, results, training
from ._io import written_whole
from ._problem import Refused
from .config import FMCNNConfig
from .model import keras
from .spectra import Spectra, normalise
from .splits import Split

NAME = "fmcnn"


@dataclass(frozen=True)
class Pretrained:
    """The kept network.

    Attributes:
        model: from normalised intensities (n, 1360, 1) to probabilities (n, minerals).
        config: its settings.
        minerals: name of each of its classes, (minerals,).
        held_out: files of the spectra that it was not trained on.
        about: what else is known: ``data`` (checksum), ``accuracy`` (on the spectra held out),
            ``epochs``, ``seed``, ``versions``.
    """

    model: keras.Model
    config: FMCNNConfig
    minerals: np.ndarray
    held_out: frozenset[str]
    about: dict


def load() -> Pretrained:
    """The network in ``results/rruff``.

    Raises:
        FileNotFoundError: with the command that makes it.
        Refused: if the files do not belong together.
    """
    network, about_it = _files()
    for path in (network, about_it):
        if not path.exists():
            raise FileNotFoundError(
                f"results/rruff/{path.name} is missing: `{results.made_by(NAME)}` makes it"
            )
    about = json.loads(about_it.read_text(encoding="utf-8"))
    if about["sha256"] != _sha256(network):
        raise Refused(
            f"results/rruff/{network.name} is not the network that {about_it.name} is about: get "
            f"both from the repository again, or make them with `{results.made_by(NAME)}`"
        )
    config = FMCNNConfig.of(**about.pop("config"))
    minerals = np.array(about.pop("minerals"))
    held_out = frozenset(results.read(f"{NAME}_held_out")["file"])
    return Pretrained(keras.saving.load_model(network), config, minerals, held_out, about)


def make(spectra: Spectra, config: FMCNNConfig | None = None, seed: int = protocol.SEED) -> None:
    """Train the network, and keep it with what it says about the spectra held out.

    Args:
        spectra: all of the archive.
        config: its settings; ``n_classes`` is set to what the data have.
        seed: of the training.
    """
    spectra = curation.paper_rule(spectra)
    minerals, y = np.unique(spectra.minerals.astype(str), return_inverse=True)
    config = replace(config or FMCNNConfig(), n_classes=len(minerals))
    X, cut = normalise(spectra.X, config.normalisation), split(spectra)
    trained = training.fit_fold(config, X[cut.train], y[cut.train], seed=seed)
    told = tell(trained.model, X[cut.test], minerals)
    held_out = spectra.meta.loc[cut.test, ["file", "mineral"]].reset_index(drop=True).join(told)
    accuracy = (held_out["mineral"] == held_out["predicted"]).mean()
    about = {
        "accuracy": round(float(accuracy), 5),
        "data": crossval.checksum(spectra)[:16],
        "epochs": trained.epochs,
        "seed": seed,
        "versions": fits.versions(),
        "config": asdict(config),
        "minerals": minerals.tolist(),
    }
    network, about_it = _files()
    # Without its optimiser, whose state would triple the file.
    bare = keras.Model(trained.model.input, trained.model.output, name=trained.model.name)
    with TemporaryDirectory() as folder, written_whole(network) as part:
        whole = Path(folder) / network.name  # Keras asks for its own suffix
        bare.save(whole)
        part.write_bytes(whole.read_bytes())
    results.keep(held_out, f"{NAME}_held_out")
    about["sha256"] = _sha256(network)
    with written_whole(about_it) as part:
        part.write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")


def _files() -> tuple[Path, Path]:
    return results.TABLES / f"{NAME}.keras", results.TABLES / f"{NAME}.json"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def split(spectra: Spectra) -> Split:
    """What is held out: the first fold of the random split, and of each mineral it lacks, one.

    So every mineral has a spectrum that the network has not seen: of a mineral that the fold
    lacks, the one that is most like its others. Other scans of the same specimen are in training.
    """
    fold = protocol.plan(spectra, "random", 1)[1][0]
    lacking = np.setdiff1d(spectra.minerals, spectra.minerals[fold.test])
    test = np.union1d(
        fold.test, [typical(spectra, np.flatnonzero(spectra.minerals == m)) for m in lacking]
    ).astype(int)
    return Split(0, 0, np.setdiff1d(np.arange(len(spectra)), test), test)


def typical(spectra: Spectra, rows: np.ndarray) -> int:
    """Which of ``rows``, spectra of one mineral, is closest to the mineral's median spectrum."""
    scaled = normalise(spectra.X[rows])
    own = normalise(spectra.X[spectra.minerals == spectra.minerals[rows[0]]])
    return int(rows[np.abs(scaled - np.median(own, axis=0)).sum(axis=1).argmin()])


def tell(model: keras.Model, X: np.ndarray, minerals: np.ndarray) -> pd.DataFrame:
    """``predicted`` mineral and its probability ``p`` for each of the normalised spectra."""
    probabilities = model.predict(X[..., None], batch_size=512, verbose=0)
    best = probabilities.argmax(axis=1)
    p = probabilities.max(axis=1).astype(float).round(4)
    return pd.DataFrame({"predicted": minerals[best], "p": p})
