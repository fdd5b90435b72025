"""What is to be explained: of which result, where, for which regions, and in which windows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from factorizer_engine.bundles.settings import CascadeSettings
from factorizer_engine.components.ablation import Probe, place_probes
from factorizer_engine.components.definition import (
    Baseline,
    component_name,
    factorizers_of,
    mixers_of,
    terms_of,
)
from factorizer_engine.components.sites import (
    LesionSites,
    among_outputs,
    decisive_regions,
    lesion_sites,
    one_lesion_site,
    painters_of,
)
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.profiles import Profile

BASELINE = Baseline.ZERO
"""What takes the place of a component that is left out; docs/evidence/components.md says why."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is to be explained.

    Attributes:
        segmenter, result: The model, and what it found.
        networks: Its ensemble.
        mixers: Of its first network, by block; those of the others have the same names.
        candidates: All components that are looked into.
        sites: Where logits are averaged.
        decisive: The regions of the result by which components are ranked.
        held: Those of which one has to hold where the lesion is still said to be found.
        probes: The windows in which logits are read.
        baseline: What takes the place of a component.
    """

    segmenter: Segmenter
    result: SegmentationResult
    networks: Sequence[Factorizer]
    mixers: Mapping[str, FactMixer]
    candidates: Sequence[Term]
    sites: LesionSites
    decisive: Sequence[int]
    held: Sequence[int]
    probes: Sequence[Probe]
    baseline: Baseline

    @property
    def outputs(self) -> list[int]:
        """The outputs of the network that are the decisive regions."""
        return self.outputs_of(self.decisive)

    def outputs_of(self, regions: Sequence[int]) -> list[int]:
        """The outputs of the network that are these regions of the result."""
        return [int(self.result.outputs[region]) for region in regions]

    def name_of(self, term: Term) -> str:
        """What people call a component, with its network if there are several."""
        name = component_name(term, self.mixers)
        return name if len(self.networks) == 1 else f"Network {term.network + 1}, {name}"

    @property
    def cascade(self) -> CascadeSettings | None:
        """How the networks refined what the first stage of a cascade had found, if they did."""
        return self.segmenter.bundle.cascade_given(self.result.given)

    def within(self, blocks: Collection[str]) -> Question:
        """The same question about the components of some blocks only."""
        return replace(self, candidates=[t for t in self.candidates if t.block in blocks])

    def profile(self, candidate: int) -> Profile:
        """What is known of a candidate from labelled cases, nothing if it was not measured."""
        term = self.candidates[candidate]
        return self._profiles.get(term, Profile(term))

    @cached_property
    def _profiles(self) -> Mapping[Term, Profile]:
        profiles = self.segmenter.bundle.profiles
        return profiles.by_term() if profiles else {}


def pose(
    segmenter: Segmenter,
    result: SegmentationResult,
    blocks: Sequence[str] | None,
    region: str | None,
    lesion: int | None,
    baseline: Baseline = BASELINE,
) -> Question:
    """What `explain` is asked, with the windows in which it has to be looked for.

    Raises:
        BadInputError: If a block, region or lesion is unknown.
        BadModelError: If the model is not a Factorizer.
    """
    segmenter = segmenter.that_gave(result)
    networks = factorizers_of(segmenter.networks)
    mixers, candidates = mixers_of(networks[0]), candidates_of(segmenter, blocks)
    names = [r.name for r in result.model.regions]
    if region is not None and region not in names:
        raise BadInputError(_not_among(segmenter.bundle.description, region, names))
    sites = _sites(segmenter, result, lesion)
    decisive = decisive_regions(result, region, sites, lesion)
    held = decisive
    if lesion is not None and region is None:
        held = painters_of(result, result.lesions[lesion - 1])
    masks = among_outputs(segmenter, result, sites.masks)
    probes = place_probes(result.plan, result.prepared.array, masks, segmenter.device)
    return Question(
        segmenter, result, networks, mixers, candidates, sites, decisive, held, probes, baseline
    )


def candidates_of(segmenter: Segmenter, blocks: Sequence[str] | None = None) -> list[Term]:
    """The components of all networks, or of some of their blocks.

    Raises:
        BadInputError: If a block is unknown.
        BadModelError: If the model is not a Factorizer.
    """
    networks = factorizers_of(segmenter.networks)
    mixers = mixers_of(networks[0])
    looked_into = list(mixers) if blocks is None else blocks
    return [
        term for member in range(len(networks)) for term in terms_of(mixers, looked_into, member)
    ]


def _sites(segmenter: Segmenter, result: SegmentationResult, lesion: int | None) -> LesionSites:
    if lesion is not None:
        return one_lesion_site(result, lesion)
    return lesion_sites(result, segmenter.bundle.inference.threshold)


def _not_among(model: ModelDescription, region: str, seen: Sequence[str]) -> str:
    if region in [r.name for r in model.regions]:
        among = ", ".join(seen)
        return f"The model cannot see the region '{region}' in these scans; choose among {among}."
    return f"The model has no region '{region}'; its regions are {', '.join(seen)}."
