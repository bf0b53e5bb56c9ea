"""Sanity checks: an explanation must change when what the network has learnt is taken from it.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps" (2018).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from . import training
from .attribution import attribute
from .config import FMCNNConfig
from .faithfulness import random_importance
from .model import build, keras
from .trials import DRAWS, FOLD, RANDOM, Explained, likeness, named, rows

#: Layers that are re-drawn together, from the end of the network to its start.
STAGES = {
    "softmax": ("softmax",),
    "dense": ("dense",),
    "expand": ("expand1", "expand3"),
    "squeeze": ("squeeze",),
    "conv": ("batch_norm", "conv"),
}
#: How often they are re-drawn: one draw may happen to give much the same picture.
REDRAWS = 3


def redrawn(shown: Explained, config: FMCNNConfig, seed: int) -> Iterator[pd.DataFrame]:
    """Likeness to the explanations of networks with weights drawn anew.

    First the end of the network, then more and more towards its start, as in Adebayo et al.; then
    each stage alone. The class that is explained stays the same.
    """
    there = {layer.name for layer in shown.model.layers}
    stages = {name: layers for name, layers in STAGES.items() if there.issuperset(layers)}
    drawn: tuple[str, ...] = ()
    plans = {}
    for name, layers in stages.items():
        drawn += layers
        plans[f"re-drawn down to {name}"] = drawn
    plans |= {f"re-drawn: {name} alone": layers for name, layers in list(stages.items())[1:]}
    for draw in range(REDRAWS):
        fresh = build(config, _fresh(seed, draw))
        for test, layers in plans.items():
            other = build(config)
            for layer in other.layers:
                source = fresh if layer.name in layers else shown.model
                layer.set_weights(source.get_layer(layer.name).get_weights())
            yield from _likeness(test, shown, other, shown.classes, seed)


def shuffled(
    shown: Explained, config: FMCNNConfig, X_train, y_train, epochs: int, seed: int
) -> Iterator[pd.DataFrame]:
    """Likeness to the explanations of a network that learnt shuffled labels by heart.

    Each network explains what it names itself, since its class numbers mean nothing to the other.
    """
    labels = np.random.default_rng(seed).permutation(y_train)
    other, _ = training.fit(config, X_train, labels, epochs=epochs, seed=_fresh(seed, REDRAWS))
    yield rows(FOLD, labels, {"recall of shuffled labels": named(other, X_train) == labels})
    yield from _likeness("labels shuffled", shown, other, named(other, shown.X), seed)


def _fresh(seed: int, draw: int) -> int:
    """Not ``seed``: from that the shown network grew, and much of its weights is still as drawn."""
    return int(np.random.SeedSequence([seed, 1, draw]).generate_state(1)[0])


def _likeness(test: str, shown: Explained, other: keras.Model, classes, seed: int):
    for method, importance in shown.maps:
        if method == RANDOM:
            new = random_importance(*shown.X.shape, seed + DRAWS)
        else:
            new = attribute(method, other, shown.X, classes)
        yield rows(method, shown.minerals, {test: likeness(importance, new)})
