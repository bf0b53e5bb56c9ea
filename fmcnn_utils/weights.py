"""FMCNN's weights in the layout that ``fastpath`` computes in: one flat vector, named parts."""

from __future__ import annotations

import numpy as np

from .config import FMCNNConfig, map_length


class Weights:
    """All trainable weights of one FMCNN, or one number for each of them (gradients, moments).

    Names are Keras's (``"conv/kernel"``), but both expands share ``"fire/kernel"``, kernels are
    (out, in), and the first dense kernel's rows go by map, then window, where Keras's go by window.

    Attributes:
        flat: the vector, float32, kernels first: they alone have the L2 penalty.
        n_kernels: how many numbers of ``flat`` belong to kernels.
    """

    def __init__(self, config: FMCNNConfig):
        self._config = config
        self._windows = map_length(config) // config.pool
        maps, classes = config.expand1 + config.expand3, config.n_classes
        features = maps * self._windows
        shapes = {
            "conv/kernel": (config.filters, config.kernel),
            "squeeze/kernel": (config.squeeze, config.filters),
            "fire/kernel": (maps, 3 * config.squeeze),
        }
        if config.dense:
            shapes["dense/kernel"] = (features, config.dense)
        shapes["softmax/kernel"] = (config.dense or features, classes)
        self.n_kernels = sum(int(np.prod(shape)) for shape in shapes.values())
        shapes |= {"conv/bias": (config.filters, 1), "squeeze/bias": (config.squeeze, 1)}
        shapes |= {"fire/bias": (maps, 1), "softmax/bias": (classes,)}
        if config.dense:
            shapes["dense/bias"] = (config.dense,)
        shapes |= {f"batch_norm/{name}": (config.filters,) for name in ("gamma", "beta")}

        self.flat = np.zeros(sum(int(np.prod(shape)) for shape in shapes.values()), np.float32)
        self._parts, start = {}, 0
        for name, shape in shapes.items():
            stop = start + int(np.prod(shape))
            self._parts[name] = self.flat[start:stop].reshape(shape)
            start = stop
        self._first_dense = "dense/kernel" if config.dense else "softmax/kernel"

    def __getitem__(self, name: str) -> np.ndarray:
        """A part by name: a view, so that writing into it changes ``flat``."""
        return self._parts[name]

    @property
    def _expands(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernels of the 1×1 and the 3×1 expand as (out, taps, in)."""
        taps = self["fire/kernel"].reshape(-1, 3, self._config.squeeze)
        return taps[: self._config.expand1], taps[self._config.expand1 :]

    def clear_sides(self) -> None:
        """Zero what "fire/kernel" has and a 1×1 expand has not: its outer taps."""
        self._expands[0][:, [0, 2]] = 0

    def load(self, values: dict[str, np.ndarray]) -> None:
        """Take ``values``, by Keras path and in Keras's shapes."""
        one, three = self._expands
        one[:, 1] = values["expand1/kernel"][0].T
        three[:] = values["expand3/kernel"].transpose(2, 0, 1)
        self["fire/bias"][:, 0] = np.r_[values["expand1/bias"], values["expand3/bias"]]
        self["conv/kernel"][:] = values["conv/kernel"][:, 0].T
        self["squeeze/kernel"][:] = values["squeeze/kernel"][0].T
        for name in ("conv/bias", "squeeze/bias"):
            self[name][:, 0] = values[name]
        for name, part in self._parts.items():
            if name == self._first_dense:
                part[:] = self._swap_rows(values[name], self._windows)
            elif name.split("/")[0] in ("batch_norm", "dense", "softmax"):
                part[:] = values[name]

    def to_keras(self) -> dict[str, np.ndarray]:
        """Copies of all parts, by Keras path and in Keras's shapes."""
        one, three = self._expands
        n_one, first = self._config.expand1, self._first_dense
        values = self._parts | {
            "conv/kernel": self["conv/kernel"].T[:, None],
            "squeeze/kernel": self["squeeze/kernel"].T[None],
            "expand1/kernel": one[:, 1].T[None],
            "expand3/kernel": three.transpose(1, 2, 0),
            "expand1/bias": self["fire/bias"][:n_one, 0],
            "expand3/bias": self["fire/bias"][n_one:, 0],
            "conv/bias": self["conv/bias"][:, 0],
            "squeeze/bias": self["squeeze/bias"][:, 0],
            first: self._swap_rows(self[first], len(self[first]) // self._windows),
        }
        return {name: part.copy() for name, part in values.items() if "fire" not in name}

    @staticmethod
    def _swap_rows(kernel: np.ndarray, outer: int) -> np.ndarray:
        """Rows ordered by (outer, inner) reordered by (inner, outer)."""
        by_pair = kernel.reshape(outer, -1, kernel.shape[1])
        return by_pair.transpose(1, 0, 2).reshape(kernel.shape)
