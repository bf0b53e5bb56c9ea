"""An FMCNN for spectra of other lasers, other instruments and specimens that nobody has measured.

The network is FMCNN with twice the maps. What is new is that each epoch sees each spectrum changed,
in ways in which two measurements of one mineral differ.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from .classifier import FMCNNClassifier

#: Widths, in points, of the smoothing that stands for a lower resolution.
_BLURS = (0.0, 1.0, 2.0, 3.0)


def augment(X, random: np.random.Generator) -> np.ndarray:
    """Each spectrum as another instrument, laser or orientation might have measured it.

    Shifted (standard deviation 3 points) and stretched (0.2 %); its bands raised and lowered
    smoothly along the axis, as polarisation and orientation do; smoothed by up to 3 points; on a
    residual background, with noise; and one in three cut to a part of its range.

    Args:
        X: intensities, (n, points), at a step of 1 cm⁻¹.
        random: where the changes are drawn from.

    Returns:
        float32 (n, points), at least 0, with maximum 1.
    """
    n, points = X.shape
    X = np.clip(X, 0, None)
    X = X / np.maximum(X.max(axis=1, keepdims=True), 1e-12)
    at = np.arange(points)
    move, stretch = random.normal(0, 3, n), random.normal(0, 0.002, n)
    middle = points / 2
    X = np.stack(
        [
            np.interp((at - middle) * (1 + s) + middle + m, at, x)
            for x, m, s in zip(X, move, stretch, strict=True)
        ]
    )
    X *= np.exp(0.5 * _smooth(random, n, points, 60))
    blur = random.integers(0, len(_BLURS), n)
    for number, sigma in enumerate(_BLURS):
        if sigma and (rows := blur == number).any():
            X[rows] = gaussian_filter1d(X[rows], sigma, axis=1)
    X /= np.maximum(X.max(axis=1, keepdims=True), 1e-12)
    background = np.abs(_smooth(random, n, points, 150)) * random.exponential(0.02, (n, 1))
    noise = random.normal(size=X.shape) * random.exponential(0.008, (n, 1))
    X = X + background + noise
    cut = random.random(n) < 1 / 3
    low = np.where(cut & (random.random(n) < 0.6), random.uniform(0, 200, n), 0)
    high = np.where(cut & (random.random(n) < 0.6), points - random.uniform(0, 450, n), points)
    X[(at < low[:, None]) | (at > high[:, None])] = 0
    X = np.clip(X, 0, None)
    return (X / np.maximum(X.max(axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _smooth(random, n, points, scale) -> np.ndarray:
    """Smooth random curves of standard deviation 1, which change over ``scale`` points."""
    knots = np.arange(-2 * scale, points + 3 * scale, scale)
    values = random.normal(size=(n, len(knots)))
    at = (np.arange(points) - knots[0]) / scale
    left = at.astype(int)
    part = (1 - np.cos(np.pi * (at - left))) / 2
    curve = values[:, left] * (1 - part) + values[:, left + 1] * part
    return curve / curve.std()


class RobustFMCNN(FMCNNClassifier):
    """FMCNN with augmented training, for a fixed number of epochs under a falling learning rate.

    Args:
        epochs: of the training; there is no validation split, and no early stopping.
        **settings: of ``FMCNNClassifier``.
    """

    def __init__(
        self,
        *,
        filters=32,
        squeeze=8,
        expand1=16,
        expand3=16,
        learning_rate=0.002,
        epochs=60,
        batch_size=64,
        random_state=None,
    ):
        super().__init__(
            filters=filters,
            squeeze=squeeze,
            expand1=expand1,
            expand3=expand3,
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=batch_size,
            random_state=random_state,
        )

    def fit(self, X, y) -> RobustFMCNN:
        """Train on raw counts (n, points) and mineral names (n,)."""
        from . import fmcnn

        X, y = validate_data(self, X, y, dtype=np.float32)
        self.classes_, number = np.unique(y, return_inverse=True)
        seed = int(check_random_state(self.random_state).randint(2**31))
        random = np.random.default_rng(seed)
        model = fmcnn.build(self, X.shape[1], len(self.classes_), seed)
        steps = self.epochs * -(-len(X) // self.batch_size)
        model.optimizer.learning_rate = fmcnn.keras.optimizers.schedules.CosineDecay(
            self.learning_rate, steps
        )
        self.history_ = fmcnn.train(
            model,
            lambda: self.as_input(augment(X, random)),
            number,
            batch_size=self.batch_size,
            epochs=self.epochs,
            seed=seed,
        )
        self.model_, self.n_epochs_ = model, self.epochs
        return self

    def as_input(self, X) -> np.ndarray:
        """The square root of the spectrum over its maximum, smoothed by one point."""
        X = np.clip(X, 0, None)
        X = X / np.maximum(X.max(axis=1, keepdims=True), 1e-12)
        return gaussian_filter1d(np.sqrt(X), 1, axis=1).astype(np.float32)[..., None]
