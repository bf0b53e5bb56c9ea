"""The settings of an FMCNN; importing them does not start TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .spectra import NORMALISATIONS

MONITORS = ("loss", "accuracy")

# Least value of each whole number in the config, and the numbers that must be below 1.
_COUNTS = {
    **dict.fromkeys(("n_points", "filters", "kernel", "stride", "squeeze", "expand1"), 1),
    **dict.fromkeys(("expand3", "pool", "batch", "epochs", "patience"), 1),
    **{"n_classes": 2, "dense": 0},
}
_MAY_BE_ZERO = ("slope", "bn_momentum", "l2", "beta_1", "beta_2")
_SHARES = (*_MAY_BE_ZERO, "bn_epsilon", "learning_rate", "epsilon", "hold_back")


@dataclass(frozen=True)
class FMCNNConfig:
    """Everything that defines an FMCNN and its training.

    "Paper" marks what the paper gives (section "FMCNN Model Architecture" or "Model Training");
    "open" what it leaves open and is chosen here.
    """

    n_points: int = 1360  # paper: 150–1510 cm⁻¹, 1,360 values
    n_classes: int = 209  # open: minerals with at least two spectra (the paper counts 196)
    normalisation: str = "sqrt"  # open: see spectra.normalise
    filters: int = 16  # open: output maps of the first convolution
    kernel: int = 16  # open: its length, in points of 1 cm⁻¹
    stride: int = 4  # open
    squeeze: int = 4  # open: maps of the fire module's 1×1 squeeze
    expand1: int = 8  # open: maps of its 1×1 expand
    expand3: int = 8  # open: maps of its 3×1 expand
    pool: int = 4  # open: length of the non-overlapping max-pool
    dense: int = 0  # open: units of a hidden fully connected layer, 0 for none
    slope: float = 0.2  # paper: of every LeakyReLU
    bn_momentum: float = 0.9  # open: Keras has 0.99, too slow for so few steps
    bn_epsilon: float = 1e-3  # open: Keras's default
    l2: float = 1e-4  # paper: L2 on the weights; open: its coefficient λ
    learning_rate: float = 0.001  # paper: Adam
    beta_1: float = 0.9  # paper
    beta_2: float = 0.999  # paper
    epsilon: float = 1e-8  # paper
    batch: int = 64  # open
    epochs: int = 40  # open: at most
    patience: int = 5  # paper: early stopping; open: epochs without a better one before it stops
    monitor: str = "loss"  # open: what early stopping watches, on data held back from training
    hold_back: float = 0.1  # open: share of the training fold that it watches
    refit: bool = True  # open: then train on the whole training fold for as many epochs

    def __post_init__(self):
        for name in _COUNTS:
            value, low = getattr(self, name), _COUNTS[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name}={value!r}: give a whole number of at least {low}")
        for name in _SHARES:
            value, low = getattr(self, name), "0 ≤" if name in _MAY_BE_ZERO else "0 <"
            inside = isinstance(value, (int, float)) and 0 <= value < 1
            if not inside or (value == 0 and name not in _MAY_BE_ZERO):
                raise ValueError(f"{name}={value!r}: give a number with {low} {name} < 1")
        for name, allowed in (("normalisation", NORMALISATIONS), ("monitor", MONITORS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: give one of {', '.join(allowed)}"
                )
        if map_length(self) < self.pool:
            raise ValueError(
                f"kernel={self.kernel}, stride={self.stride} and pool={self.pool} leave nothing "
                f"of {self.n_points} points: make them smaller"
            )

    @classmethod
    def of(cls, **values) -> FMCNNConfig:
        """A config from keyword values, refusing an unknown name with the known ones."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            known = ", ".join(field.name for field in fields(cls))
            raise ValueError(f"unknown setting {', '.join(sorted(unknown))}: FMCNN knows {known}")
        return cls(**values)


def map_length(config: FMCNNConfig) -> int:
    """Points of a feature map between the first convolution and the max-pool."""
    return max((config.n_points - config.kernel) // config.stride + 1, 0)
