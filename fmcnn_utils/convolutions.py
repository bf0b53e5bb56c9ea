"""The convolutional part of FMCNN, forward and backward, in NumPy; ``fastpath`` builds on it.

Positions of a feature map are ordered by their place in the max-pool's window, their "phase":
position t is phase t % pool of window t // pool, and all of a phase's positions, of all windows
and spectra, stand in one row per channel. So

- the taps of a convolution are whole rows: each phase is one matrix product with a slice of rows,
  and no patch is ever copied;
- the max-pool compares whole rows, one phase with the best of those before;
- a few spectra at a time (a chunk) pass through buffers that stay in the second-level cache.

Rows are of length n · windows, for n spectra; the last window may be incomplete.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .config import FMCNNConfig, map_length
from .weights import Weights


class Workspace:
    """Buffers that all chunks share, so that they stay in the cache."""

    def __init__(self):
        self._buffers: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
        """The buffer ``name`` in ``shape``, contiguous; what it holds is left over."""
        size = int(np.prod(shape))
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers[name] = np.empty(size, dtype)
        return self._buffers[name][:size].reshape(shape)


class Chunk:
    """What ``n`` spectra leave behind on their way forward, and the way back.

    Attributes:
        h: first LeakyReLU's output, (phases, filters, row).
        h_sum, h_square: its sum and sum of squares over all positions, (filters,).
        z: squeezed maps, (phases, squeeze, row).
        pooled: the max-pool's output after LeakyReLU, (n, maps · pooled windows).
    """

    def __init__(self, config: FMCNNConfig, n: int, workspace: Workspace):
        self.config, self.n, self._take = config, n, workspace.take
        phases, length = config.pool, map_length(config)
        self._rest, self._pooled_windows = length % phases, length // phases
        self._windows = self._pooled_windows + (self._rest > 0)
        self._maps = config.expand1 + config.expand3
        row = n * self._windows
        # A row for each place that a phase's taps reach, from its first tap of phase 0 on.
        step, reach = phases * config.stride, (phases - 1) * config.stride + config.kernel
        self._x = np.zeros((n, step * (self._windows - 1) + reach), np.float32)
        item = self._x.itemsize
        self._x_by_row = as_strided(
            self._x, (reach, n, self._windows), (item, self._x.strides[0], step * item)
        )
        self._x_rows = np.empty((reach, row), np.float32)
        self.h = np.empty((phases, config.filters, row), np.float32)
        # A phase's neighbours t − 1 and t + 1 are the phases beside it. For those of the first and
        # last phase, copies stand at both ends: the last phase one window on, the first one back.
        self._z, self._dz = np.zeros((2, phases + 2, config.squeeze, row), np.float32)
        self.z, self.dz = self._z[1:-1], self._dz[1:-1]
        self._rises = np.empty((phases, self._maps, row), bool)  # above all phases before it?
        self.pooled = np.empty((n, self._maps * self._pooled_windows), np.float32)

    def _by_window(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(*rows.shape[:-1], self.n, self._windows)

    def _leaky(self, a: np.ndarray) -> None:
        t = np.multiply(a, np.float32(self.config.slope), out=self._take("t", a.shape))
        np.maximum(a, t, out=a)

    def _leaky_gradient(self, d: np.ndarray, a: np.ndarray) -> None:
        """Scale ``d`` by LeakyReLU's slope where its output ``a`` is not positive."""
        slope = np.float32(self.config.slope)
        positive = np.greater(a, 0, out=self._take("positive", a.shape, bool))
        factor = np.multiply(positive, 1 - slope, out=self._take("t", a.shape))
        factor += slope
        d *= factor

    def _blank(self, rows: np.ndarray, phase: int) -> None:
        """Zero the places behind the last position, which only fill its window up."""
        if 0 < self._rest <= phase:
            self._by_window(rows)[..., -1] = 0

    def _taps(self, phase: int) -> np.ndarray:
        """What the first convolution's taps see in a phase: (kernel, row)."""
        first = phase * self.config.stride
        return self._x_rows[first : first + self.config.kernel]

    def _frames(self, rows: np.ndarray, phase: int) -> np.ndarray:
        """A phase of ``_z`` or ``_dz`` between its neighbours: (3 · squeeze, row)."""
        return rows[phase : phase + 3].reshape(3 * self.config.squeeze, -1)

    def convolve(self, X: np.ndarray, w: Weights) -> None:
        """First convolution and LeakyReLU: ``X`` (n, n_points) to ``h``, and its sums."""
        used = min(self._x.shape[1], self.config.n_points)
        self._x[:, :used] = X[:, :used]
        self._by_window(self._x_rows)[:] = self._x_by_row
        self.h_sum, self.h_square = np.zeros((2, self.config.filters), np.float32)
        for phase, h in enumerate(self.h):
            np.matmul(w["conv/kernel"], self._taps(phase), out=h)
            h += w["conv/bias"]
            self._leaky(h)
            self._blank(h, phase)
            self.h_sum += h.sum(axis=1)
            self.h_square += np.einsum("ij,ij->i", h, h)

    def fire(self, kernel: np.ndarray, bias: np.ndarray, w: Weights) -> None:
        """Squeeze by ``kernel`` and ``bias``, both expands, max-pool: ``h`` to ``pooled``."""
        for h, z in zip(self.h, self.z, strict=True):
            np.matmul(kernel, h, out=z)
            z += bias
            self._leaky(z)
        z = self._by_window(self._z)
        z[0, :, :, 1:] = z[-2, :, :, :-1]
        z[-1, :, :, :-1] = z[1, :, :, 1:]
        best, fired = self._take("fired", (2, self._maps, z.shape[2] * z.shape[3]))
        np.matmul(w["fire/kernel"], self._frames(self._z, 0), out=best)
        for phase in range(1, self.config.pool):
            np.matmul(w["fire/kernel"], self._frames(self._z, phase), out=fired)
            np.greater(fired, best, out=self._rises[phase])
            np.maximum(fired, best, out=best)
        best += w["fire/bias"]
        self._leaky(best)
        pooled = self._by_window(best)[..., : self._pooled_windows].transpose(1, 0, 2)
        self.pooled.reshape(pooled.shape)[:] = pooled

    def back_to_squeeze(self, d_pooled: np.ndarray, w: Weights, g: Weights):
        """From ∂loss/∂(pooled before LeakyReLU) to ``dz``, adding to the gradients of "fire".

        A maximum that several places share passes its gradient to the first of them.

        Returns:
            Gradients of the squeeze's kernel and bias.
        """
        d, part = self._take("fired", (2, self._maps, self._z.shape[-1]))
        windows = self._by_window(d)
        windows[..., self._pooled_windows :] = 0
        windows[..., : self._pooled_windows] = d_pooled.reshape(self.n, self._maps, -1).transpose(
            1, 0, 2
        )
        g["fire/bias"][...] += d.sum(axis=1, keepdims=True)
        self._dz[:] = 0
        d_frames = self._take("frames", (3 * self.config.squeeze, d.shape[1]))
        for phase in range(self.config.pool - 1, -1, -1):
            if phase:
                np.multiply(d, self._rises[phase], out=part)
                d -= part
            else:
                part = d
            g["fire/kernel"][...] += part @ self._frames(self._z, phase).T
            np.matmul(w["fire/kernel"].T, part, out=d_frames)
            dz = self._frames(self._dz, phase)
            dz += d_frames
        dz = self._by_window(self._dz)
        dz[-2, :, :, :-1] += dz[0, :, :, 1:]
        dz[1, :, :, 1:] += dz[-1, :, :, :-1]
        d_kernel, d_bias = np.float32(0), np.float32(0)
        for h, z, dz in zip(self.h, self.z, self.dz, strict=True):
            self._leaky_gradient(dz, z)
            d_kernel = d_kernel + dz @ h.T
            d_bias = d_bias + dz.sum(axis=1, keepdims=True)
        return d_kernel, d_bias

    def back_to_input(
        self, kernel: np.ndarray, slant: np.ndarray, offset: np.ndarray, g: Weights
    ) -> None:
        """From ``dz`` to the gradients of "conv".

        ``slant`` and ``offset`` (filters, 1) are what ``h`` does to the loss through the batch
        statistics: ∂loss/∂h = kernelᵀ dz + slant · h + offset.
        """
        dh = self._take("dh", self.h.shape[1:])
        for phase, (h, dz) in enumerate(zip(self.h, self.dz, strict=True)):
            np.matmul(kernel.T, dz, out=dh)
            dh += np.multiply(h, slant, out=self._take("t", h.shape))
            dh += offset
            self._leaky_gradient(dh, h)
            self._blank(dh, phase)
            g["conv/kernel"][...] += dh @ self._taps(phase).T
            g["conv/bias"][...] += dh.sum(axis=1, keepdims=True)
