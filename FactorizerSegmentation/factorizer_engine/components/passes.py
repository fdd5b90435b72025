"""A forward pass of a Factorizer over a window, recorded so that only its rest is run again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby

import torch
from torch import Tensor, nn

from factorizer_engine.components.definition import (
    Baseline,
    changed,
    filtered,
    head_mask,
    masked_mean,
    mixers_of,
    observed,
    without_all,
)
from factorizer_engine.factorization import Factors
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.networks.blocks import (
    FactorizerBlock,
    FactorizerStage,
    FactorObserver,
    MixedFilter,
)
from factorizer_engine.protocol.components import Term


class RecordedPass:
    """One forward pass of a Factorizer that can be taken up again behind any mixer.

    Args:
        network: In evaluation mode.
        image: (1, C, *S).
        differentiable: Blocks with respect to whose mixed maps the logits can be differentiated;
            the later in the network the first of them is, the less memory that takes.
        strengths: By block, by what its mixed map is multiplied before it is handed on; 1 where
            nothing is said.
        left_out: Terms that are left out in the whole pass.
        baseline: What takes their place.

    `behind` and `without` are for passes of the whole network, at full strength.

    Attributes:
        image: (1, C, *S).
        mixers: Of the network, by block, in the order in which they are run.
        logits: (1, R, *S), with a graph if differentiable.
        mixed: By block, what is between the linear maps of its mixer, (1, C, *S).
        factors: By block of a rank above 1, U and V as a component filter gets them.
    """

    def __init__(
        self,
        network: Factorizer,
        image: Tensor,
        differentiable: Collection[str] = (),
        strengths: Mapping[str, float] | None = None,
        left_out: Sequence[Term] = (),
        baseline: Baseline = Baseline.ZERO,
    ) -> None:
        self._network = network
        self._differentiable, self._strengths = differentiable, strengths or {}
        self.image = image
        self.mixers = mixers_of(network)
        self.mixed: dict[str, Tensor] = {}
        self.factors: dict[str, tuple[Tensor, Tensor]] = {}
        self._inputs: dict[str, Tensor] = {}
        self._skips: dict[int, Tensor] = {}
        self._heads: dict[tuple[int, ...], Tensor] = {}
        self._remembered: dict[Term, Tensor] = {}
        gone = _by_block(left_out)
        channels = {block for block in gone if self._is_of_channels(block, baseline)}
        self._removals = {b: _without_channels(self.mixers[b], gone[b]) for b in channels}
        taps = {mixer: self._tap_into(block) for block, mixer in self.mixers.items()}
        observers = {
            mixer: self._factors_into(block)
            for block, mixer in self.mixers.items()
            if mixer.factorize.rank > 1
        }
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(bool(differentiable)))
            stack.enter_context(changed(taps))
            stack.enter_context(observed(observers))
            factors = {block: gone[block] for block in gone if block not in channels}
            stack.enter_context(self._left_out(factors, baseline))
            for block in self.mixers:
                hook = self._block(block).register_forward_pre_hook(self._input_into(block))
                stack.callback(hook.remove)
            self.logits = self._encode(0, network.stem(image), self._skips)
        self._skips = {index: skip.detach() for index, skip in self._skips.items()}

    def forget_graph(self) -> None:
        """Give the memory back that only gradients need."""
        self.logits = self.logits.detach()
        self.mixed = {block: mixed.detach() for block, mixed in self.mixed.items()}

    def remember(self, term: Term, logits: Tensor) -> None:
        """Take what a pass gave, (1, R, *S), in which this term alone was left out likewise."""
        self._remembered[term] = logits

    def behind(self, block: str, mixed: Tensor) -> Tensor:
        """Logits (B, R, *S) with another mixed map (B, C, *S) of a block.

        Filters of later mixers act.
        """
        side, stage, position = _parts(block)
        x = self._block(block).behind(self._inputs[block], mixed)
        for following in self._stage(side, stage).blocks[position + 1 :]:
            x = following(x)
        skips = dict(self._skips)
        if side == "decoder":
            return self._decode(stage + 1, x, skips)
        skips[stage] = x
        return self._encode(stage + 1, x, skips)

    def without(self, terms: Sequence[Term], baseline: Baseline = Baseline.ZERO) -> Tensor:
        """Logits (1, R, *S) with all `terms` left out at once; those of the pass without any."""
        if not terms:
            return self.logits.detach()
        by_block = _by_block(terms)
        first, *later = (block for block in self.mixers if block in by_block)
        with torch.inference_mode(), self._left_out({b: by_block[b] for b in later}, baseline):
            mixed = self.mixed[first].detach().clone()
            for term in by_block[first]:
                self._leave_out(mixed[0], term, baseline)
            return self.behind(first, mixed)

    def without_each(self, terms: Sequence[Term], baseline: Baseline = Baseline.ZERO) -> Tensor:
        """Logits (len(terms), R, *S) with each of `terms`, all of one block, left out alone."""
        if all(term in self._remembered for term in terms):
            return torch.cat([self._remembered[term] for term in terms])
        (block,) = {term.block for term in terms}
        with torch.inference_mode():
            mixed = self.mixed[block].detach()
            mixed = mixed.repeat(len(terms), *[1] * (mixed.ndim - 1))
            for copy, term in zip(mixed, terms, strict=True):
                self._leave_out(copy, term, baseline)
            return self.behind(block, mixed)

    def terms_at(self, block: str) -> Iterator[Tensor]:
        """The maps (1, C, *S) of the terms 0, 1, ... of all heads; their sum is the mixed map."""
        mixer = self.mixers[block]
        if mixer.factorize.rank == 1:
            yield self.mixed[block].detach()
            return
        u, v = self.factors[block]
        for r in range(u.shape[-1]):
            yield mixer.reshape.inverse_forward(u[..., r : r + 1] @ v[..., r : r + 1].mT)

    def head_at(self, block: str) -> Tensor:
        """Where the image shows the patient, boolean (1, 1, *S) at the block's resolution."""
        size = tuple(self.mixers[block].reshape.spatial_size)
        if size not in self._heads:
            self._heads[size] = head_mask(self.image, size)
        return self._heads[size]

    def _leave_out(self, mixed: Tensor, term: Term, baseline: Baseline) -> None:
        """Take a term out of a mixed map (C, *S), in place."""
        own = _channels_of(self.mixers[term.block], term)
        term_map = list(self.terms_at(term.block))[term.rank][:, own]
        if self.mixers[term.block].factorize.rank == 1:
            mixed[own] = 0.0
        else:
            mixed[own] -= term_map[0]
        if baseline is Baseline.MEAN:
            head = self.head_at(term.block)
            mean = masked_mean(term_map, head).view(-1, *[1] * (mixed.ndim - 1))
            mixed[own] += mean * head[0]

    def _left_out(self, by_block: Mapping[str, Sequence[Term]], baseline: Baseline) -> ExitStack:
        """Filters that leave out terms of later blocks, whose maps depend on earlier ones."""
        stack = ExitStack()
        for block, terms in by_block.items():
            mixer = self.mixers[block]
            if self._is_of_channels(block, baseline):
                stack.enter_context(changed({mixer: _without_channels(mixer, terms)}))
            else:
                head = self.head_at(block) if baseline is Baseline.MEAN else None
                removal = without_all(mixer.reshape, terms, head)
                stack.enter_context(filtered({mixer: removal}))
        return stack

    def _is_of_channels(self, block: str, baseline: Baseline) -> bool:
        """Whether terms of a block are left out by setting channels of its mixed map to zero."""
        return self.mixers[block].factorize.rank == 1 and baseline is Baseline.ZERO

    def _encode(self, start: int, x: Tensor, skips: dict[int, Tensor]) -> Tensor:
        """Run the encoder from a stage on, and then the decoder; `skips` are filled on the way."""
        for index, stage in enumerate(self._network.encoder.blocks[start:], start):
            x = skips[index] = stage(x)
        return self._decode(0, x, skips)

    def _decode(self, start: int, x: Tensor, skips: Mapping[int, Tensor]) -> Tensor:
        deepest = len(self._network.encoder.blocks) - 2
        for index, stage in enumerate(self._network.decoder.blocks[start:], start):
            skip = skips[deepest - index]
            x = stage(x, skip.expand(len(x), *skip.shape[1:]))
        network = self._network
        return network.head(x) if network.num_heads == 1 else network.heads[0](x)

    def _stage(self, side: str, stage: int) -> FactorizerStage:
        stages = self._network.encoder if side == "encoder" else self._network.decoder
        found = stages.blocks[stage].block
        assert isinstance(found, FactorizerStage)
        return found

    def _block(self, block: str) -> FactorizerBlock:
        side, stage, position = _parts(block)
        found = self._stage(side, stage).blocks[position]
        assert isinstance(found, FactorizerBlock)
        return found

    def _tap_into(self, block: str) -> MixedFilter:
        def tap(x: Tensor) -> Tensor:
            # The first of them begins the graph: nothing before it needs a gradient.
            needs_leaf = block in self._differentiable and not x.requires_grad
            self.mixed[block] = x.detach().requires_grad_() if needs_leaf else x
            mixed, strength = self.mixed[block], self._strengths.get(block, 1.0)
            removal = self._removals.get(block)
            mixed = removal(mixed) if removal is not None else mixed
            return mixed if strength == 1.0 else strength * mixed

        return tap

    def _factors_into(self, block: str) -> FactorObserver:
        def keep(found: Factors | tuple[Tensor, Tensor]) -> None:
            if not isinstance(found, Factors):
                self.factors[block] = (found[0].detach(), found[1].detach())

        return keep

    def _input_into(self, block: str):
        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._inputs[block] = inputs[0].detach()

        return keep


def _parts(block: str) -> tuple[str, int, int]:
    side, stage, position = block.split(".")
    return side, int(stage), int(position)


def _by_block(terms: Sequence[Term]) -> dict[str, list[Term]]:
    grouped = groupby(sorted(terms), key=lambda term: term.block)
    return {block: list(members) for block, members in grouped}


def _channels_of(mixer: FactMixer, term: Term) -> slice:
    size = mixer.reshape.head_dim
    return slice(term.head * size, (term.head + 1) * size)


def _without_channels(mixer: FactMixer, terms: Sequence[Term]) -> MixedFilter:
    own = [_channels_of(mixer, term) for term in terms]

    def remove(mixed: Tensor) -> Tensor:
        mixed = mixed.clone()
        for channels in own:
            mixed[:, channels] = 0.0
        return mixed

    return remove
