"""The model that a training makes, as a bundle without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.settings import InferenceSettings, PostprocessingSettings
from factorizer_engine.training.config import TrainingConfig
from factorizer_engine.training.data.cases import preprocessing_of
from factorizer_engine.training.description import describe
from factorizer_engine.training.run.networks import network_spec


def model_of(
    config: TrainingConfig,
    name: str,
    channels: Sequence[str],
    regions: Mapping[str, Sequence[int]],
    labels: Mapping[str, int],
) -> Bundle:
    """The model of a configuration and its data.

    Args:
        config: Settings and texts.
        name: Of the model.
        channels: Names in network order.
        regions: Region name to the label values that it is made of, in network order.
        labels: Label name to value.

    Raises:
        BadInputError: If the texts name what the data do not have, or a region cannot be painted.
    """
    texts = config.bundle
    description = describe(name, texts, channels, regions, labels)
    inference = {"roi_size": config.window, **texts.inference.model_dump(exclude_none=True)}
    return Bundle(
        description=replace(description, by_clicks=config.by_clicks),
        preprocessing=preprocessing_of(config.preprocessing),
        inference=InferenceSettings(**inference),
        postprocessing=PostprocessingSettings(**texts.postprocessing.model_dump()),
        prompts=config.prompts,
        network=network_spec(
            config.network,
            len(channels) + config.prompt_channels(len(regions)),
            len(regions),
            config.window,
        ),
    )
