"""What the components of a model mean: measured over labelled cases, kept with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True)
class Profile(Message):
    """What a component responded to and spoke for: means over cases.

    Correlations are Pearson's, of the component's activity over the voxels of the head at its
    block's resolution.

    Attributes:
        term: Its place in the model.
        meaning: A short sentence made from the figures below, for people.
        intensities: By channel, the correlation with its intensity.
        edges: By channel, the correlation with the size of its gradient, away from the rim of the
            head.
        places: The correlation with where a voxel is, see `components.surroundings`.
        inside: By region, and by class where that is another thing, how many standard deviations
            the activity there is above its mean over the head.
        contributions: By region, the change of its mean logit inside the true region, estimated.
        agreement: By region, the part (0 to 1) of the cases in which that has the sign of the mean.
        level: The part (0 to 1) of its contribution that comes from its mean over the head.
        stability: The correlation of its maps before and after the windows are shifted: that of its
            activity or of its evidence, whichever is lower; None where that was not measured.
    """

    term: Term
    meaning: str = ""
    intensities: dict[str, float] = field(default_factory=dict)
    edges: dict[str, float] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)
    inside: dict[str, float] = field(default_factory=dict)
    contributions: dict[str, float] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    level: float = 0.0
    stability: float | None = None


@dataclass(frozen=True)
class Profiles(Message):
    """The profiles of all components of a model.

    Attributes:
        cases: Names of the cases over which they were measured.
        components: One a component.
        tells_false_alarms: Whether lesions for which other components speak are likely to be false.
    """

    cases: tuple[str, ...]
    components: tuple[Profile, ...]
    tells_false_alarms: bool = True

    def by_term(self) -> Mapping[Term, Profile]:
        """The profiles by the places of their components."""
        return {profile.term: profile for profile in self.components}

    def followed_by(self, others: Profiles, networks: int) -> Profiles:
        """Those of an ensemble: these of its first `networks` networks, `others` of the next."""
        moved = (
            replace(p, term=replace(p.term, network=p.term.network + networks))
            for p in others.components
        )
        cases = dict.fromkeys((*self.cases, *others.cases))
        return Profiles(
            tuple(cases),
            (*self.components, *moved),
            self.tells_false_alarms and others.tells_false_alarms,
        )
