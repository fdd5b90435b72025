"""Studies spread over the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from factorizer_engine.cli.studies.listing import StudyFiles
from factorizer_engine.cli.studies.outcomes import Outcome
from factorizer_engine.cli.studies.work import Batch, segment_in_this_thread
from factorizer_engine.protocol.errors import BadInputError

_CONNECT_SECONDS = 30


def segment_on_cluster(
    batch: Batch, studies: Sequence[StudyFiles], scheduler: str
) -> Iterator[Outcome]:
    """The outcomes of studies, as they come in.

    A study whose worker dies is given to another one, as often as Dask's `allowed-failures` says.
    All workers must see the scans, the model and the output folder under the same paths.

    Args:
        batch: What is done with them.
        studies: At least one.
        scheduler: Address of a running scheduler, such as "tcp://node:8786".

    Raises:
        BadInputError: If Dask is not installed or the scheduler does not answer.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise BadInputError(
            "Dask is needed for --scheduler; install it with 'pip install distributed'."
        ) from error
    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"No Dask scheduler answers at '{scheduler}'; check the address.", repr(error)
        ) from error
    with client:
        futures = {
            client.submit(segment_in_this_thread, batch, study, pure=False): study
            for study in studies
        }
        try:
            for future in as_completed(futures, loop=client.loop):
                try:
                    yield future.result()
                except KilledWorker as error:
                    yield Outcome(futures[future].name, reason=_death(error))
        finally:
            client.cancel(list(futures))


def _death(error: Exception) -> str:
    return f"Its workers ended before they were done, probably for lack of memory ({error})."
