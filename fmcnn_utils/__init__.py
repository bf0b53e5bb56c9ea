"""Thin library behind the notebooks of the FMCNN companion.

Three floors, imports only downward:

- ground: ``spectra``, ``model``, ``training``, ``baselines``, ``paper``, ``claims``, ``plotting``
- first: ``rruff``, ``curation``, ``atlas``, ``splits``, ``deconv``
- top: ``datasets``, ``crossval``, and ``run`` (the commands)

Nothing is imported here, so that ``python -m fmcnn_utils`` starts on a bare Python.
"""
