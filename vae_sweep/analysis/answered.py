"""The answer for a terminal: what the page of a sweep says first, without the page."""

from collections.abc import Sequence
from pathlib import Path

from vae_sweep.analysis import study as studies
from vae_sweep.analysis.answer import Answer, answer
from vae_sweep.analysis.recommend import recommend
from vae_sweep.analysis.verdicts import judge
from vae_sweep.runs.reading import load_sweep


def answer_of(folders: Sequence[Path]) -> Answer:
    """Of one sweep or several. Raises RecordError if a folder is no sweep."""
    study = studies.read([load_sweep(folder) for folder in folders])
    verdicts = judge(study)
    return answer(study, recommend(study, verdicts), verdicts)
