"""Companion to Guo et al. (2020): ``data``, ``models``, ``evaluation``, ``explain``.

Beside them: ``paper`` (its numbers), ``results`` (kept tables), ``plots``, ``report`` and the
commands (``python -m fmcnn_utils --help``). Importing the package does not start TensorFlow.
"""
