"""Which series of a DICOM study is which sequence, and which of them a model gets."""

from factorizer_engine.preparation.series.choice import StudyChoice, choose_series

__all__ = ["StudyChoice", "choose_series"]
