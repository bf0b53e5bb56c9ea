"""Thin library behind the notebooks of the FMCNN companion.

Three floors, imports only downward:

- ground: ``spectra``, ``splits``, ``config``, ``model``, ``weights``, ``convolutions``,
  ``fastpath``, ``training``, ``baselines``, ``peaks``, ``stats``, ``paper``, ``claims``,
  ``results``, ``figures``; for all of them ``_io`` (where files go) and ``_problem``
- first: ``rruff`` (with ``_archive``, ``_scan``, ``_download``), ``curation``, ``atlas``,
  ``deconv``, ``fits``
- top: ``datasets``, ``crossval``, ``search``, ``protocol``, ``report``, ``atlas_quality``; for the
  commands ``parameters``, ``notebooks`` and ``run``

Nothing is imported here, so that ``python -m fmcnn_utils`` starts on a bare Python.
"""
