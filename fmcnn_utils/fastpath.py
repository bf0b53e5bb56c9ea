"""FMCNN's training step written out in NumPy, for one core.

The same arithmetic as the Keras model of ``model.build``, faster on a CPU, because

- a spectrum has one channel: the first convolution is one matrix product with its patches;
- batch normalisation is linear once its statistics are known: it is folded into the squeeze;
- both expands are one matrix product (the 1×1 expand is a 3×1 expand with zeros on its sides);
- LeakyReLU is monotone: it is applied after the max-pool, to a quarter of the values;
- next to nothing is allocated, and the convolutions' passes stay in the cache (``convolutions``).
"""

from __future__ import annotations

import numpy as np

from .config import FMCNNConfig, map_length
from .convolutions import Chunk, Workspace
from .weights import Weights

#: Spectra that go through the convolutions at a time: more of them leave the cache.
CHUNK = 32

#: Weights that Adam updates at a time, for the same reason.
ADAM_CHUNK = 32_768


class FastPath:
    """One FMCNN in training.

    Args:
        config: its settings.
        values: weights to start from, by Keras path and in Keras's shapes.

    Attributes:
        weights: the trainable weights.
        gradients: of the last batch's mean cross-entropy, without the L2 penalty.
        mean, variance: batch normalisation's moving statistics, (filters,).
    """

    def __init__(self, config: FMCNNConfig, values: dict[str, np.ndarray]):
        self.config = config
        self.weights, self.gradients = Weights(config), Weights(config)
        self.weights.load(values)
        self.mean = values["batch_norm/moving_mean"].copy()
        self.variance = values["batch_norm/moving_variance"].copy()
        self._adam = Adam(config, self.weights)
        self._workspace = Workspace()
        self._chunks: dict[tuple[int, int], Chunk] = {}

    def values(self) -> dict[str, np.ndarray]:
        """Copies of all weights, by Keras path and in Keras's shapes."""
        moving = {"mean": self.mean.copy(), "variance": self.variance.copy()}
        return self.weights.to_keras() | {f"batch_norm/moving_{k}": v for k, v in moving.items()}

    def penalty(self) -> float:
        """The L2 term of the loss."""
        kernels = self.weights.flat[: self.weights.n_kernels]
        return self.config.l2 * float(kernels @ kernels)

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Scores before the softmax (n, n_classes) of normalised spectra (n, n_points)."""
        kernel, bias = self._folded_squeeze(self.mean, self.variance)
        out = np.empty((len(X), self.config.n_classes), np.float32)
        for start in range(0, len(X), CHUNK):
            part = X[start : start + CHUNK]
            (chunk,) = self._chunks_for(len(part))
            chunk.convolve(part, self.weights)
            chunk.fire(kernel, bias, self.weights)
            out[start : start + CHUNK] = self._head(chunk.pooled)[1]
        return out

    def train_batch(self, X: np.ndarray, y: np.ndarray) -> tuple[float, int]:
        """One step of Adam on normalised spectra (b, n_points) of classes ``y`` (b,).

        Returns:
            The batch's loss with the penalty, and how many were right, both before the step.
        """
        penalty = self.penalty()
        loss, right = self.backward(X, y)
        self._adam.step(self.weights, self.gradients)
        return loss + penalty, right

    def backward(self, X: np.ndarray, y: np.ndarray) -> tuple[float, int]:
        """Set ``gradients`` and move the statistics, as ``train_batch``, but take no step.

        Returns:
            The mean cross-entropy, and how many were right.
        """
        w, g = self.weights, self.gradients
        chunks = self._chunks_for(len(X))
        parts = [slice(i * CHUNK, i * CHUNK + chunk.n) for i, chunk in enumerate(chunks)]

        for chunk, part in zip(chunks, parts, strict=True):
            chunk.convolve(X[part], w)
        count = np.float32(len(X) * map_length(self.config))
        mean = sum(chunk.h_sum for chunk in chunks) / count
        variance = np.maximum(sum(chunk.h_square for chunk in chunks) / count - mean * mean, 0)
        rate = np.float32(1 - self.config.bn_momentum)
        self.mean += rate * (mean - self.mean)
        self.variance += rate * (variance - self.variance)

        kernel, bias = self._folded_squeeze(mean, variance)
        for chunk in chunks:
            chunk.fire(kernel, bias, w)
        loss, right, d = self._back_through_head(np.concatenate([c.pooled for c in chunks]), y)

        for name in ("fire/kernel", "fire/bias", "conv/kernel", "conv/bias"):
            g[name][:] = 0  # the chunks add to these
        d_kernel, d_bias = np.zeros_like(kernel), np.zeros_like(bias)
        for chunk, part in zip(chunks, parts, strict=True):
            own_kernel, own_bias = chunk.back_to_squeeze(d[part], w, g)
            d_kernel += own_kernel
            d_bias += own_bias
        g.clear_sides()

        slant, offset = self._back_through_fold(d_kernel, d_bias, mean, variance, count)
        for chunk in chunks:
            chunk.back_to_input(kernel, slant, offset, g)
        return loss, right

    def _chunks_for(self, n: int) -> list[Chunk]:
        keys = list(enumerate(min(CHUNK, n - start) for start in range(0, n, CHUNK)))
        for key in keys:
            if key not in self._chunks:
                self._chunks[key] = Chunk(self.config, key[1], self._workspace)
        return [self._chunks[key] for key in keys]

    def _folded_squeeze(self, mean: np.ndarray, variance: np.ndarray):
        """Kernel and bias of batch normalisation and squeeze in one."""
        w = self.weights
        scale = w["batch_norm/gamma"] / np.sqrt(variance + np.float32(self.config.bn_epsilon))
        shift = w["batch_norm/beta"] - mean * scale
        bias = w["squeeze/bias"] + (w["squeeze/kernel"] @ shift)[:, None]
        return w["squeeze/kernel"] * scale, bias

    def _back_through_fold(self, d_kernel, d_bias, mean, variance, count):
        """From the folded squeeze's gradients to those of its parts.

        Returns:
            ``slant``, ``offset`` (filters, 1): ``slant · h + offset`` is the gradient that reaches
            ``h``, the first LeakyReLU's output, through the batch's mean and variance.
        """
        w, g = self.weights, self.gradients
        deviation = np.sqrt(variance + np.float32(self.config.bn_epsilon))
        scale = w["batch_norm/gamma"] / deviation
        shift = w["batch_norm/beta"] - mean * scale
        g["squeeze/bias"][:] = d_bias
        g["squeeze/kernel"][:] = d_kernel * scale + d_bias * shift
        d_shift = w["squeeze/kernel"].T @ d_bias[:, 0]
        d_scale = (w["squeeze/kernel"] * d_kernel).sum(axis=0) - mean * d_shift
        g["batch_norm/beta"][:] = d_shift
        g["batch_norm/gamma"][:] = d_scale / deviation
        d_variance = -d_scale * scale / (2 * deviation * deviation)
        slant = 2 * d_variance / count
        offset = -d_shift * scale / count - slant * mean
        return slant[:, None], offset[:, None]

    def _head(self, pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Input of the softmax layer (the hidden layer, or ``pooled`` itself), and the logits."""
        w, hidden = self.weights, pooled
        if self.config.dense:
            hidden = pooled @ w["dense/kernel"] + w["dense/bias"]
            hidden = np.maximum(hidden, np.float32(self.config.slope) * hidden)
        return hidden, hidden @ w["softmax/kernel"] + w["softmax/bias"]

    def _back_through_head(self, pooled: np.ndarray, y: np.ndarray):
        """Mean cross-entropy, how many were right, and its gradient before ``pooled``'s LeakyReLU.

        Sets the gradients of the dense layers.
        """
        w, g, slope = self.weights, self.gradients, np.float32(self.config.slope)
        hidden, logits = self._head(pooled)
        losses, d = cross_entropy(logits, y)
        right = int((logits.argmax(axis=1) == y).sum())
        np.matmul(hidden.T, d, out=g["softmax/kernel"])
        d.sum(axis=0, out=g["softmax/bias"])
        d = d @ w["softmax/kernel"].T
        if self.config.dense:
            d *= np.where(hidden > 0, np.float32(1), slope)
            np.matmul(pooled.T, d, out=g["dense/kernel"])
            d.sum(axis=0, out=g["dense/bias"])
            d = d @ w["dense/kernel"].T
        d *= np.where(pooled > 0, np.float32(1), slope)
        return float(losses.mean()), right, d


class Adam:
    """Keras's Adam, with the L2 penalty's gradient ``2 · l2 · w`` on the kernels.

    The moments are kept over 1 − β, which saves two passes over all weights.
    """

    def __init__(self, config: FMCNNConfig, weights: Weights):
        self._config, self._steps = config, 0
        self._first, self._second = np.zeros((2, weights.flat.size), np.float32)
        self._buffer = np.empty(ADAM_CHUNK, np.float32)

    def step(self, weights: Weights, gradients: Weights) -> None:
        """Change ``weights`` by one step; ``gradients`` get the penalty's added."""
        c, f = self._config, np.float32
        self._steps += 1
        rate = c.learning_rate * (1 - c.beta_1) / (1 - c.beta_1**self._steps)
        rate *= np.sqrt((1 - c.beta_2**self._steps) / (1 - c.beta_2))
        epsilon = c.epsilon / np.sqrt(1 - c.beta_2)
        vectors = weights.flat, gradients.flat, self._first, self._second
        for low in range(0, weights.flat.size, ADAM_CHUNK):
            w, g, m, v = (vector[low : low + ADAM_CHUNK] for vector in vectors)
            t, kernels = self._buffer[: len(w)], max(weights.n_kernels - low, 0)
            g[:kernels] += np.multiply(w[:kernels], f(2 * c.l2), out=t[:kernels])
            m *= f(c.beta_1)
            m += g
            v *= f(c.beta_2)
            v += np.multiply(g, g, out=t)
            np.sqrt(v, out=t)
            t += f(epsilon)
            np.divide(m, t, out=t)
            t *= f(rate)
            w -= t


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each spectrum (n,), and the gradient of their mean by the logits (n, n_classes)."""
    rows = np.arange(len(y))
    shifted = logits - logits.max(axis=1, keepdims=True)
    d = np.exp(shifted)
    total = d.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - shifted[rows, y]
    d /= total
    d[rows, y] -= 1
    d /= len(y)
    return losses, d
