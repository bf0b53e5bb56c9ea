"""Thin library behind the notebooks of the FMCNN companion.

Three floors, imports only downward:

- ground: ``spectra``, ``splits``, ``config``, ``model``, ``weights``, ``convolutions``,
  ``fastpath``, ``training``, ``baselines``, ``peaks``, ``bands``, ``formulas``, ``stats``,
  ``paper``, ``claims``, ``results``, ``figures``, ``faithfulness``; for all of them ``_io`` (where
  files go) and ``_problem``
- first: ``rruff`` (with ``_archive``, ``_scan``, ``_download``), ``curation``, ``atlas``,
  ``deconv``, ``attribution``, ``fits``
- top: ``datasets``, ``crossval``, ``search``, ``protocol``, ``pretrained``, ``explained`` (with
  ``trials``, ``sanity``, ``planted``), ``report``, ``atlas_quality``; for the
  commands ``parameters``, ``notebooks`` and ``run``

Nothing is imported here, so that ``python -m fmcnn_utils`` starts on a bare Python.
"""
