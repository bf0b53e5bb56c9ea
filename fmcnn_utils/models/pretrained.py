"""The FMCNN that comes with the code: trained on RRUFF, with spectra that it has not seen.

``results/rruff/fmcnn.keras`` is an ordinary Keras file; ``fmcnn.json`` beside it says what it was
made from, and ``fmcnn_held_out.csv`` what it predicts for each spectrum held out.
``scripts/pretrained.py`` makes them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import results
from ..data.spectra import Spectra
from .classifier import FMCNNClassifier
from .robust import RobustFMCNN

#: To add a pretrained network, give its files a name here, and its class.
NETWORKS = {"fmcnn": FMCNNClassifier, "identify": RobustFMCNN}


@dataclass(frozen=True)
class Pretrained:
    """A kept network.

    Attributes:
        network: the fitted estimator.
        held_out: a row per spectrum that it was not trained on: ``file``, ``mineral``,
            ``predicted`` and its probability ``p``.
        about: ``data`` (checksum), ``accuracy`` on the spectra held out, ``seed``, ``versions``.
    """

    network: FMCNNClassifier
    held_out: pd.DataFrame
    about: dict

    def rows_held_out(self, spectra: Spectra) -> np.ndarray:
        """Row positions of the spectra held out, of minerals that the network knows."""
        known = spectra.meta["mineral"].isin(self.network.classes_)
        return np.flatnonzero(known & spectra.meta["file"].isin(self.held_out["file"]))


def load_pretrained(name: str = "fmcnn") -> Pretrained:
    """A network of ``results/rruff``.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: with the command that makes it.
        UserError: if its files do not belong together.
    """
    from .fmcnn import keras

    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is not one of {', '.join(NETWORKS)}")
    network, about_it = files(name)
    for path in (network, about_it):
        if not path.exists():
            raise FileNotFoundError(
                f"results/rruff/{path.name} is missing: `{results.made_by(name)}` makes it"
            )
    about = json.loads(about_it.read_text(encoding="utf-8"))
    if about["sha256"] != _sha256(network):
        raise results.UserError(
            f"results/rruff/{network.name} is not the network that {about_it.name} is about: get "
            f"both from the repository again, or make them with `{results.made_by(name)}`"
        )
    classifier = NETWORKS[name](**about.pop("settings"))
    classifier.model_ = keras.saving.load_model(network)
    classifier.classes_ = np.array(about.pop("minerals"))
    classifier.n_features_in_ = classifier.model_.input.shape[1]
    classifier.n_epochs_ = about.pop("epochs")
    return Pretrained(classifier, results.read(f"{name}_held_out"), about)


def keep(name: str, network: FMCNNClassifier, held_out: pd.DataFrame, about: dict) -> None:
    """Write the files that ``load_pretrained`` reads; the columns are those of ``Pretrained``."""
    from .fmcnn import keras

    path, about_it = files(name)
    # Without its optimiser, whose state would triple the file.
    bare = keras.Model(network.model_.input, network.model_.output, name=name)
    part = path.with_name(f"part-{path.name}")  # Keras asks for its own suffix
    try:
        bare.save(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    results.write(held_out, f"{name}_held_out.csv")
    about = about | {
        "epochs": network.n_epochs_,
        "settings": network.get_params(),
        "minerals": network.classes_.tolist(),
        "sha256": _sha256(path),
    }
    results.write_text(about_it, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def files(name: str) -> tuple[Path, Path]:
    """The Keras file of a network, and the file that says what it was made from."""
    return results.TABLES / f"{name}.keras", results.TABLES / f"{name}.json"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
