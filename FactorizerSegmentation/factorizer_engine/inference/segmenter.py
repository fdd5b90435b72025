"""A model kept ready, and cases put through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
import torch

from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.images.checks import channel_named, check_channels, reference_among
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.preprocessing import Prepared, Preprocessor
from factorizer_engine.images.scan import Scan
from factorizer_engine.images.store import IN_MEMORY, Store
from factorizer_engine.inference.cascade import FirstStage
from factorizer_engine.inference.chosen import Chosen, check_box
from factorizer_engine.inference.compiling import COMPILING, CompiledNetwork
from factorizer_engine.inference.device import (
    memory_errors,
    resolve_device,
    resolve_precision,
    store_for_case,
    window_bytes,
)
from factorizer_engine.inference.kernels import prepare_kernels
from factorizer_engine.inference.ladder import Economies, Means, descend, most, moved
from factorizer_engine.inference.postprocessing import paint_regions
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.sliding_window import (
    Ensemble,
    Watcher,
    check_numbers,
    predict_windows,
    sigmoid_,
)
from factorizer_engine.inference.study import Study, only
from factorizer_engine.inference.timings import timed
from factorizer_engine.inference.windows import WindowPlan, plan_windows
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.networks import economise
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import RunOptions
from factorizer_engine.protocol.subsets import cost, reduced, subset_of

ALL_AXES = (0, 1, 2)

_FOUND = 0.3
"""How far a cascade has come when its first stage is done."""

_PREPARED, _PREDICTED, _RESTORED, _PAINTED = 0.1, 0.88, 0.93, 0.97
"""How far a run has come at the end of its stages."""


class Segmenter:
    """A model on its device, ready for one case after another.

    The same scans give the same result, bit for bit, on the same device and number of threads.

    Args:
        bundle: The model.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: "float32", or "bfloat16" or "float16" for autocast.
        compiled: Translate the networks by torch.compile in the first run, which takes long.

    Attributes:
        networks: The ensemble, in evaluation mode on `device`, not compiled.
        coarse: The first stage of a cascade; None of a model that works alone.

    Raises:
        BadInputError: For an unknown or unusable device or precision, or if the network has no
            factorisations whose sweeps or short circuits the bundle could choose.
        BadModelError: If the weights are missing or do not fit.
        EngineMemoryError: If the model does not fit into memory.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        self.bundle, first = bundle, bundle.coarse
        self.coarse = Segmenter(first, device, precision, compiled) if first else None
        self.device = resolve_device(device)
        self.dtype = resolve_precision(precision, self.device)
        self.preprocessor = Preprocessor(bundle.preprocessing_of_scans)
        with memory_errors(self.device):
            self.networks = build_networks(bundle, str(self.device))
        for network in self.networks:
            network.requires_grad_(False)  # evidence differentiates maps, never weights
            economise(network, bundle.inference.sweeps, bundle.inference.short_circuits)
        self._compiled = [CompiledNetwork(n) for n in self.networks] if compiled else []
        self._precision = precision
        self._others: dict[tuple, Segmenter] = {}

    def answering(self, given: Collection[str]) -> Segmenter:
        """The segmenter with the networks that answer where these channels are given, often itself.

        Channels go by name or alias; `BadInputError` if the model has no such channel.
        """
        channels = self.bundle.description.channels
        return self._of(self.bundle.answering({channel_named(name, channels) for name in given}))

    def for_fewer(self) -> Segmenter:
        """The segmenter with the networks alone that learned from studies which lack scans."""
        return self._of(self.bundle.for_fewer())

    def _of(self, bundle: Bundle) -> Segmenter:
        """The segmenter of this bundle, or of one with other networks, which is kept ready."""
        if bundle is self.bundle:
            return self
        networks = bundle.weights, bundle.looks
        if networks not in self._others:
            device, compiled = str(self.device), bool(self._compiled)
            self._others[networks] = Segmenter(bundle, device, self._precision, compiled)
        return self._others[networks]

    def that_gave(self, result: SegmentationResult) -> Segmenter:
        """The segmenter with the networks that answered for a result of this model."""
        return self.answering(result.given)

    def segment(
        self,
        scans: Mapping[str, Scan],
        reference: str | None = None,
        options: RunOptions | None = None,
        monitor: Monitor | None = None,
        watch: Callable[[WindowPlan], Watcher | None] = lambda plan: None,
    ) -> SegmentationResult:
        """Find lesions in the scans of one study.

        In a box the probabilities are those of the whole scan, since the scans are prepared as a
        whole and every window that touches the box is computed. In a quick run the windows are laid
        around the box instead, which takes fewer: in the sample case 1 for 8, with the same Dice
        against experts to 0.01, and 0.91 to 0.99 against the whole run. The model's rules on small
        pieces see only what lies in the box.

        A model that only answers clicks finds nothing; its result is empty, to be drawn by them.

        Channels may be left out where the model says what it can do without them
        (`protocol.subsets`), and other networks may answer then (`answering`); regions that cannot
        be seen then are not looked for.

        Args:
            scans: One scan per channel, by the channel's name or alias, on any grids.
            reference: Channel on whose grid the result is given; by default the model's first of
                those that are given.
            options: How the model is applied; by default everywhere, as the model says.
            monitor: Told of the progress, and asked whether to stop.
            watch: Gives what sees the networks at work on the windows of a plan.

        Raises:
            BadInputError: If the scans are not what the model needs, or the box lies outside.
            EngineMemoryError: If memory does not suffice.
            InternalError: If the network gives NaN or infinity.
            CancelledError: If the monitor was cancelled.
        """
        answering = self.answering(scans)
        if answering is not self:
            return answering.segment(scans, reference, options, monitor, watch)
        monitor, options = monitor or Monitor(), options or RunOptions()
        if self.bundle.description.by_clicks:
            return self._nothing_yet(scans, reference, options, monitor)
        first = None
        if self.coarse is not None:
            found = self.coarse.segment(scans, reference, options, monitor.span(0.0, _FOUND))
            first = FirstStage.of(self.bundle, found)
            monitor = monitor.span(_FOUND, 1.0)
        timings, economies = dict[str, float](), Economies(monitor)
        with memory_errors(self.device):
            monitor.report("preparing", 0.0)
            with timed(timings, "preparing"):
                study = self._study(scans, reference, options, economies)
                looked_at = first.to_look_again(study) if first else study.chosen
            self._make_ready(monitor.span(_PREPARED, _PREPARED))
            with timed(timings, "segmenting"):
                span, settings = monitor.span(_PREPARED, _PREDICTED), self._settings(options)
                plan, logits, watcher, means = self._look(
                    study, looked_at, settings, economies, span, watch
                )
            monitor.report("restoring", _PREDICTED)
            with timed(timings, "restoring"):
                probabilities = self.preprocessor.restore(
                    sigmoid_(only(logits, study.outputs)),
                    study.prepared,
                    looked_at.in_reference,
                    study.store,
                )
                del logits
                if first is not None:
                    probabilities = first.join(probabilities, study, looked_at)
                study.chosen.clear_around(probabilities)
            monitor.report("painting", _RESTORED)
            with timed(timings, "painting"):
                labelmap = self._paint(probabilities, study.model, study.prepared.reference)
            monitor.report("measuring", _PAINTED)
            with timed(timings, "measuring"):
                model, head = study.model, study.head_with_sides
                lesions = find_lesions(labelmap, model.regions, model.labels, probabilities, head)
        monitor.report("measuring", 1.0)
        return SegmentationResult(
            model=study.model,
            labelmap=labelmap,
            probabilities=probabilities,
            lesions=tuple(lesions),
            timings=timings,
            device=str(means.device),
            prepared=study.prepared,
            plan=plan,
            outputs=study.outputs,
            note=" ".join(filter(None, (study.cost, economies.note))),
            watcher=watcher,
        )

    def _nothing_yet(
        self,
        scans: Mapping[str, Scan],
        reference: str | None,
        options: RunOptions,
        monitor: Monitor,
    ) -> SegmentationResult:
        """An empty result, with the scans prepared for clicks."""
        model, timings = self.bundle.description, dict[str, float]()
        with memory_errors(self.device):
            with timed(timings, "preparing"):
                given = check_channels(scans, model.channels, reference)
                prepared = self._prepare(given, reference, replace(options, box=None), IN_MEMORY)
            prepare_kernels(self.networks, self.device, self.dtype, monitor.span(_PREPARED, 1.0))
        nothing = np.zeros((len(model.regions), *prepared.reference.shape), dtype=np.float32)
        return SegmentationResult(
            model=model,
            labelmap=self._paint(nothing, model, prepared.reference),
            probabilities=nothing,
            lesions=(),
            timings=timings,
            device=str(self.device),
            prepared=prepared,
            plan=plan_windows(prepared.array, self.bundle.inference, looks=self.bundle.looks),
            outputs=list(range(len(model.regions))),
        )

    def _study(
        self,
        scans: Mapping[str, Scan],
        reference: str | None,
        options: RunOptions,
        economies: Economies,
    ) -> Study:
        """The scans as the networks take them; a store on the disk is said."""
        model = self.bundle.description
        given = check_channels(scans, model.channels, reference)
        subset = subset_of(model, given)
        store = self._store_for(given[reference_among(given, model.channels, reference)])
        if store.on_disk:
            economies.say("keeping volumes on the disk")
        prepared = self._with_empty_prompts(self._prepare(given, reference, options, store))
        return Study(
            model=reduced(model, subset),
            outputs=[i for i, r in enumerate(model.regions) if r.name in subset.regions],
            cost=cost(model, subset),
            prepared=prepared,
            store=store,
            chosen=Chosen.of(options, prepared),
            # The head is the same in all scans; in one that is mirrored, sides are unknown.
            head_with_sides=None if options.upside_down else next(iter(given.values())),
        )

    def _make_ready(self, monitor: Monitor) -> None:
        """Have kernels compiled before the networks need them, and say so."""
        if not all(network.ready for network in self._compiled):
            monitor.report(COMPILING, 0.0)
        prepare_kernels(self.networks, self.device, self.dtype, monitor)

    def _look(
        self,
        study: Study,
        part: Chosen,
        settings: InferenceSettings,
        economies: Economies,
        monitor: Monitor,
        watch: Callable[[WindowPlan], Watcher | None],
    ) -> tuple[WindowPlan, np.ndarray, Watcher | None, Means]:
        """The plan and logits of a part, what watched, and with how much of the computer."""
        volume = study.prepared.array

        def attempt(means: Means) -> tuple[WindowPlan, np.ndarray, Watcher | None]:
            own = replace(settings, roi_size=means.roi_size)
            plan = plan_windows(volume, own, part.in_model, part.quick, self.bundle.looks)
            watcher = watch(plan)
            return plan, self._predict(volume, plan, means, study.store, monitor, watcher), watcher

        network = self.networks[0]
        means = most(network, self.device, settings.roi_size, economies.take)
        (plan, logits, watcher), means = descend(means, network, attempt, economies.take)
        check_numbers(logits, self.bundle.description.name, self.dtype)
        return plan, logits, watcher, means

    def _predict(
        self,
        volume: np.ndarray,
        plan: WindowPlan,
        means: Means,
        store: Store,
        monitor: Monitor,
        watcher: Watcher | None,
    ) -> np.ndarray:
        """Logits of a prepared volume, by these means."""
        ensemble = self.ensemble()
        if means.device != self.device:
            ensemble = replace(ensemble, networks=self.networks, device=means.device)
            ensemble = replace(ensemble, dtype=torch.float32)
        with moved(self.networks, means.device, self.device):
            prepare_kernels(self.networks, means.device, ensemble.dtype, monitor.span(0.0, 0.0))
            return predict_windows(
                ensemble,
                volume,
                plan,
                means.windows,
                monitor,
                store,
                means.sums_on_host,
                watcher=watcher,
            )

    def _prepare(
        self,
        given: Mapping[str, Scan],
        reference: str | None,
        options: RunOptions,
        store: Store,
    ) -> Prepared:
        """The scans by channel name in model space, as a whole also for a box."""
        channels = self.bundle.description.channels
        reference_scan = given[reference_among(given, channels, reference)]
        if options.box is not None:
            check_box(options.box, reference_scan)
        ordered = [given.get(channel.name) for channel in channels]
        return self.preprocessor.prepare(ordered, reference_scan, store, options.upside_down)

    def _with_empty_prompts(self, prepared: Prepared) -> Prepared:
        """The scans with channels of zeros where the network reads clicks."""
        if not self._prompt_channels:
            return prepared
        none = np.zeros((self._prompt_channels, *prepared.array.shape[1:]), dtype=np.float32)
        return replace(prepared, array=np.concatenate([prepared.array, none]))

    @property
    def _prompt_channels(self) -> int:
        prompts, regions = self.bundle.prompts, self.bundle.description.regions
        return prompts.channels(len(regions)) if prompts is not None else 0

    def _store_for(self, reference: Scan) -> Store:
        settings = self.bundle.preprocessing
        grid = reference.grid.oriented(settings.orientation).straightened()
        target = grid.respaced(settings.spacing) if settings.spacing else grid
        on_host = self.device.type == "cpu"
        return store_for_case(
            channels=len(self.bundle.description.channels) + self._prompt_channels,
            regions=len(self.bundle.description.regions),
            reference_voxels=math.prod(reference.shape),
            model_voxels=math.prod(target.shape),
            window=window_bytes(self.networks[0], self.bundle.inference.roi_size) * on_host,
        )

    def _settings(self, options: RunOptions) -> InferenceSettings:
        """The model's settings, but for what the options say otherwise."""
        settings = self.bundle.inference
        if options.overlap is not None:
            settings = replace(settings, overlap=options.overlap)
        if options.mirroring is not None:
            axes = (settings.mirror_axes or ALL_AXES) if options.mirroring else ()
            settings = replace(settings, mirror_axes=axes)
        return settings

    def ensemble(self) -> Ensemble:
        """The networks as they are run, compiled if that was asked for."""
        networks = self._compiled or self.networks
        return Ensemble(networks, len(self.bundle.description.regions), self.device, self.dtype)

    def _paint(self, probabilities: np.ndarray, model: ModelDescription, reference: Grid) -> Scan:
        painted = paint_regions(
            probabilities,
            model.regions,
            self.bundle.inference.threshold,
            self.bundle.postprocessing,
            voxel_ml=reference.voxel_ml,
        )
        return Scan(painted, reference, "segmentation")
