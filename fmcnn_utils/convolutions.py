"""The convolutional part of FMCNN, forward and backward, in NumPy; ``fastpath`` builds on it.

A few spectra at a time (a chunk) go through it in buffers that stay in the second-level cache.
Arrays are channels-first, and positions of a feature map are ordered by their place in the pooling
window, their "phase": position t is phase t % pool of window t // pool. So the max-pool compares
whole contiguous blocks, a bias meets one long row, and each convolution is one matrix product.
Shapes: (channels, phases, n spectra, windows), where the last window may be incomplete.
"""

from __future__ import annotations

import numpy as np

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
    """What ``n`` spectra leave behind on their way forward, and the passes of the convolutions."""

    def __init__(self, config: FMCNNConfig, n: int, workspace: Workspace):
        self.config, self.n, self._take = config, n, workspace.take
        length, phases = map_length(config), config.pool
        self.rest, self.windows = length % phases, length // phases
        places = (phases, n, self.windows + (self.rest > 0))
        maps = config.expand1 + config.expand3
        # Spectra, with zeros behind them for the places that fill the incomplete last window.
        self.x = np.zeros((n, (phases * places[2] - 1) * config.stride + config.kernel), np.float32)
        self.patches = np.empty((config.kernel, *places), np.float32)
        self.h = np.empty((config.filters, *places), np.float32)
        self.z, self.dz = np.empty((2, config.squeeze, *places), np.float32)
        self.rises = np.empty((phases, maps, n, self.windows), bool)  # above all phases before?
        self.pooled = np.empty((n, maps * self.windows), np.float32)
        self.h2, self.z2, self.dz2 = (a.reshape(len(a), -1) for a in (self.h, self.z, self.dz))

    def _leaky(self, a: np.ndarray) -> None:
        t = self._take("leaky", a.shape)
        np.maximum(a, np.multiply(a, np.float32(self.config.slope), out=t), out=a)

    def _leaky_gradient(self, d: np.ndarray, a: np.ndarray) -> None:
        """Scale ``d`` by LeakyReLU's slope where its output ``a`` is not positive."""
        slope, t = np.float32(self.config.slope), self._take("leaky", a.shape)
        positive = np.greater(a, 0, out=self._take("positive", a.shape, bool))
        np.multiply(positive, 1 - slope, out=t)
        t += slope
        d *= t

    def _blank(self, a: np.ndarray) -> None:
        """Zero the places behind the last position, which only fill its window up."""
        if self.rest:
            a[:, self.rest :, :, -1] = 0

    def convolve(self, X: np.ndarray, w: Weights) -> None:
        """First convolution and LeakyReLU: ``X`` (n, n_points) to ``h``."""
        c = self.config
        used = min(self.x.shape[1], c.n_points)
        self.x[:, :used] = X[:, :used]
        for phase in range(c.pool):
            for tap in range(c.kernel):
                source = self.x[:, phase * c.stride + tap :: c.pool * c.stride]
                np.copyto(self.patches[tap, phase], source[:, : self.h.shape[3]])
        np.matmul(w["conv/kernel"], self.patches.reshape(c.kernel, -1), out=self.h2)
        self.h2 += w["conv/bias"]
        self._leaky(self.h)
        self._blank(self.h)

    def fire(self, kernel: np.ndarray, bias: np.ndarray, w: Weights) -> None:
        """Folded squeeze, both expands, max-pool: ``h`` to ``pooled``."""
        np.matmul(kernel, self.h2, out=self.z2)
        self.z2 += bias
        self._leaky(self.z)
        maps = len(w["fire/kernel"])
        fired = self._take("fired", (maps, self.config.pool, self.n, self.windows))
        np.matmul(w["fire/kernel"], self._frames(), out=fired.reshape(maps, -1))
        best = fired[:, 0]
        for phase in range(1, self.config.pool):
            np.greater(fired[:, phase], best, out=self.rises[phase])
            np.maximum(fired[:, phase], best, out=best)
        best += w["fire/bias"][:, :, None]
        best = np.maximum(best, np.float32(self.config.slope) * best)
        self.pooled.reshape(self.n, maps, -1)[:] = best.transpose(1, 0, 2)

    def _frames(self) -> np.ndarray:
        """Neighbours of each pooled position: squeezed maps at t − 1, t, t + 1, in rows."""
        c = self.config
        frames = self._take("frames", (3, c.squeeze, c.pool, self.n, self.windows))
        before, here, after = frames
        z, follows = self.z[..., : self.windows], self.z[:, 0, :, 1 : self.windows + 1]
        here[:] = z
        before[:, 1:] = z[:, :-1]
        before[:, 0, :, 1:] = z[:, -1, :, :-1]
        before[:, 0, :, 0] = 0
        after[:, :-1] = z[:, 1:]
        after[:, -1, :, -1] = 0
        after[:, -1, :, : follows.shape[2]] = follows
        return frames.reshape(3 * c.squeeze, -1)

    def back_to_squeeze(self, d_pooled: np.ndarray, w: Weights, g: Weights) -> None:
        """From ∂loss/∂(pooled before LeakyReLU) to ``dz``, adding to the gradients of "fire".

        A maximum that several places share passes its gradient to the first of them.
        """
        c, maps = self.config, len(w["fire/kernel"])
        d = np.ascontiguousarray(d_pooled.reshape(self.n, maps, -1).transpose(1, 0, 2))
        g["fire/bias"][...] += d.sum(axis=(1, 2))[:, None]
        d_fired = self._take("fired", (maps, c.pool, self.n, self.windows))
        for phase in range(c.pool - 1, 0, -1):
            d -= np.multiply(d, self.rises[phase], out=d_fired[:, phase])
        d_fired[:, 0] = d
        d_fired = d_fired.reshape(maps, -1)
        g["fire/kernel"][...] += d_fired @ self._frames().T

        frames = self._take("frames", (3, c.squeeze, c.pool, self.n, self.windows))
        np.matmul(w["fire/kernel"].T, d_fired, out=frames.reshape(3 * c.squeeze, -1))
        before, here, after = frames
        dz, follows = self.dz[..., : self.windows], self.dz[:, 0, :, 1 : self.windows + 1]
        dz[:] = here
        self.dz[..., self.windows :] = 0
        dz[:, :-1] += before[:, 1:]
        dz[:, -1, :, :-1] += before[:, 0, :, 1:]
        dz[:, 1:] += after[:, :-1]
        follows += after[:, -1, :, : follows.shape[2]]
        self._leaky_gradient(self.dz, self.z)

    def back_to_patches(
        self, kernel: np.ndarray, slant: np.ndarray, offset: np.ndarray, g: Weights
    ) -> None:
        """From ``dz`` to the gradients of "conv".

        ``slant`` and ``offset`` (filters, 1) are what ``h`` does to the loss through the batch
        statistics: ∂loss/∂h = kernelᵀ dz + slant · h + offset.
        """
        dh = self._take("dh", self.h.shape)
        dh2 = dh.reshape(self.h2.shape)
        np.matmul(kernel.T, self.dz2, out=dh2)
        dh2 += np.multiply(self.h2, slant, out=self._take("leaky", self.h2.shape))
        dh2 += offset
        self._leaky_gradient(dh, self.h)
        self._blank(dh)
        g["conv/kernel"][...] += dh2 @ self.patches.reshape(self.config.kernel, -1).T
        g["conv/bias"][...] += dh2.sum(axis=1, keepdims=True)
