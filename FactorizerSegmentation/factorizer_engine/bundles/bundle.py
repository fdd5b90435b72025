"""What a model bundle says, as one typed object.

Nothing here imports torch: listing and describing models stays quick.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from factorizer_engine.bundles.settings import (
    CascadeSettings,
    FewerSettings,
    InferenceSettings,
    NetworkSpec,
    PostprocessingSettings,
    Preprocessing,
    PromptSettings,
)
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.profiles import Profiles
from factorizer_engine.protocol.triples import triple


@dataclass(frozen=True)
class Bundle:
    """A model: what goes in, what comes out, how, and with which weights.

    Attributes:
        description: What everybody knows of the model.
        preprocessing: How scans become network input.
        inference: How the network is applied.
        postprocessing: How regions are cleaned.
        network: The architecture.
        prompts: How its network reads clicks; None if it reads none.
        cascade: How it refines what the model `coarse` finds; None if it works alone.
        coarse: The first stage of a cascade, which lies in the bundle's folder of that name.
        fewer: Which networks answer where scans are missing; None if there is only one kind.
        profiles: What its components mean; None if that was not measured.
        fewer_profiles: Likewise, those of the networks that learned from studies which lack scans.
        weights: One file per ensemble member.
        fewer_weights: Likewise, of the networks that learned from studies which lack scans.
        looks: For every look at a case the numbers of the channels that are hidden in it; the
            logits of all looks are averaged.
        storage: Keeps the temporary folder of an unpacked .zip alive as long as the bundle.
    """

    description: ModelDescription
    preprocessing: Preprocessing
    inference: InferenceSettings
    postprocessing: PostprocessingSettings
    network: NetworkSpec
    prompts: PromptSettings | None = None
    cascade: CascadeSettings | None = None
    coarse: Bundle | None = None
    fewer: FewerSettings | None = None
    profiles: Profiles | None = None
    fewer_profiles: Profiles | None = None
    weights: tuple[Path, ...] = ()
    fewer_weights: tuple[Path, ...] = ()
    looks: tuple[tuple[int, ...], ...] = ((),)
    storage: TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @property
    def preprocessing_of_scans(self) -> Preprocessing:
        """How scans are kept: as the network takes them, or as fine as windows around clicks are.

        The latter only where clicks are all that is answered, since maps need the network's voxels.
        """
        kept = self.preprocessing
        if self.prompts is None or not self.description.by_clicks or kept.spacing is None:
            return kept
        return replace(kept, spacing=triple(self.prompts.finest * size for size in kept.spacing))

    def answering(self, given: Collection[str]) -> Bundle:
        """The bundle with the networks that answer where these of its channels are given."""
        part = {*given}
        everything = len(part) == len(self.description.channels)
        if self.fewer is None or everything or part in map(set, self.fewer.own):
            return self
        others = self.for_fewer()
        for look in self.fewer.again:
            if part == {*look.given}:
                return others._looking_again(look.seen)
        if part not in map(set, self.fewer.both):
            return others
        profiles = None
        if self.profiles is not None and self.fewer_profiles is not None:
            profiles = self.profiles.followed_by(self.fewer_profiles, len(self.weights))
        return replace(others, weights=(*self.weights, *self.fewer_weights), profiles=profiles)

    def cascade_given(self, given: Collection[str]) -> CascadeSettings | None:
        """How a cascade refines what it finds where these of its channels are given."""
        if self.cascade is None or self.coarse is None or self.cascade.share_with_fewer is None:
            return self.cascade
        if self.coarse.answering(given) is self.coarse:
            return self.cascade
        return replace(self.cascade, share=self.cascade.share_with_fewer)

    def for_fewer(self) -> Bundle:
        """The bundle with the networks alone that learned from studies which lack scans."""
        return replace(
            self,
            weights=self.fewer_weights,
            profiles=self.fewer_profiles,
            fewer=None,
            fewer_weights=(),
            fewer_profiles=None,
        )

    def _looking_again(self, seen: Collection[str]) -> Bundle:
        """The bundle whose networks look twice, the second time at these channels only."""
        channels = enumerate(self.description.channels)
        hidden = tuple(number for number, channel in channels if channel.name not in seen)
        return replace(self, looks=((), hidden))
