"""Independent tasks on local processes of one thread each, or on a Dask cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager

import joblib

from .results import UserError

# TensorFlow keeps some 30 MB of each fit; loky starts a new worker in time, and need not say so.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")

MAX_RESTARTS = 3  # in a row, without a single task finished in between
WAIT_FOR_WORKERS = 60  # s, for the first worker of a Dask scheduler


def run(function: Callable, tasks: dict, n_jobs=2, scheduler: str | None = None) -> Iterator:
    """``(key, function(*arguments))`` of each of ``tasks``, key → arguments, as they finish.

    They run in ``n_jobs`` processes (1: in this one), or on the Dask cluster at the address
    ``scheduler``; joblib leaves a cluster of a single worker aside and works in this process. When
    workers die, the tasks that are left are started again. UserError if they keep dying, or there
    is no such cluster.
    """
    left, deaths, here = dict(tasks), 0, {"n_jobs": n_jobs, "inner_max_num_threads": 1}
    while left:
        with _on_cluster(scheduler) if scheduler else joblib.parallel_config("loky", **here):
            calls = [joblib.delayed(_one)(key, function, *left[key]) for key in left]
            work = joblib.Parallel(batch_size=1, return_as="generator_unordered")(calls)
            try:
                for key, outcome in work:
                    deaths = 0
                    del left[key]
                    yield key, outcome
            except (BrokenExecutor, CancelledError) as death:
                if (deaths := deaths + 1) > MAX_RESTARTS:
                    raise UserError(
                        f"workers died {deaths} times in a row, without finishing one of "
                        f"{len(left)} tasks left: is there enough memory for as many workers?"
                    ) from death


def _one(key, function: Callable, *arguments) -> tuple:
    return key, function(*arguments)


@contextmanager
def _on_cluster(address: str) -> Iterator:
    from distributed import Client  # half of this module's import time

    try:
        client = Client(address)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at scheduler={address!r} ({error}): give the address that "
            "`dask scheduler` prints when it starts, such as tcp://192.168.0.2:8786"
        ) from error
    with client, joblib.parallel_config("dask", client=client, wait_for_workers_timeout=1):
        try:
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except TimeoutError as error:
            raise UserError(
                f"no worker has joined the Dask scheduler at scheduler={address!r} in "
                f"{WAIT_FOR_WORKERS} s: start some by `dask worker {address} --nthreads 1`"
            ) from error
        yield
