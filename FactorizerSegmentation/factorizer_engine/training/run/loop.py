"""The training loop: steps, checks, checkpoints; resumable exactly."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.inference.device import PRECISIONS
from factorizer_engine.networks import finest
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.training.config import TrainingConfig
from factorizer_engine.training.data.cases import UNKNOWN, CaseCache
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.data.sampling import WindowDataset, window_loader
from factorizer_engine.training.data.splits import Split, together
from factorizer_engine.training.records.history import History
from factorizer_engine.training.records.report import Example
from factorizer_engine.training.run.beginning import beginning_network, seen_before
from factorizer_engine.training.run.display import RunDisplay
from factorizer_engine.training.run.distributed import Team
from factorizer_engine.training.run.ema import AveragedWeights
from factorizer_engine.training.run.losses import DeepSupervisionLoss, RegionLoss
from factorizer_engine.training.run.networks import checkpoint_blocks
from factorizer_engine.training.run.optimizers import build_optimizer
from factorizer_engine.training.run.prompting import Prompter
from factorizer_engine.training.run.schedule import Budget, learning_rate
from factorizer_engine.training.run.state import (
    load_checkpoint,
    random_states,
    restore_random_states,
    save_checkpoint,
    seed_everything,
)
from factorizer_engine.training.run.stopping import stop_signals
from factorizer_engine.training.run.validation import Validator, subsets_of


@dataclass(frozen=True)
class Step:
    """What one step came to: its loss, the norm of the gradient and the learning rate."""

    loss: float
    gradient_norm: float
    learning_rate: float


class NotANumberError(EngineError):
    """The loss or the gradient stopped being a number."""

    kind = "internal"


class Trainer:
    """One run of one configuration on one split.

    Args:
        config: What to do.
        dataset: Cases.
        split: Which of them are for what.
        device: Where to compute.
        team: The processes that train together.
        display: Told about every step.

    Attributes:
        seen_before: The cases that the weights had seen with which the run begins.
    """

    def __init__(
        self,
        config: TrainingConfig,
        dataset: Dataset,
        split: Split,
        device: torch.device,
        team: Team,
        display: RunDisplay,
    ) -> None:
        self.config, self.folder, self.team = config, config.output, team
        self.regions = tuple(dataset.regions)
        self._subsets = subsets_of(dataset, config.run.validation_subsets)
        self._split, self._device, self._display = split, device, display
        self.seen_before = seen_before(config.network)
        self._seen = together([split, self.seen_before])
        self._settings = config.optimization
        self._dtype = PRECISIONS[self._settings.precision]
        self._cache = CaseCache(config.cache, dataset, config.preprocessing)
        self._windows = WindowDataset(
            self._cache,
            split.train,
            config.window,
            config.augmentation,
            self._settings.foreground,
            config.run.seed,
            dataset.needed,
        )
        self._validator = Validator(
            self._cache,
            config.window,
            config.run.validation_overlap,
            device,
            self._dtype,
            config.prompt_channels(len(dataset.regions)),
        )
        seed_everything(config.run.seed)
        self._network = beginning_network(config, dataset).to(device)
        torch.manual_seed(config.run.seed + team.rank)  # processes drop out different features
        self._average = AveragedWeights(self._network, self._settings.ema_decay)
        if self._settings.gradient_checkpointing:
            checkpoint_blocks(self._network)
        self._loss = DeepSupervisionLoss(
            RegionLoss(),
            self._settings.deep_supervision,
            partly_known=dataset.is_partly_known
            or config.augmentation.sequence_dropout > 0
            or config.interaction.clicks > 0,
        )
        self._prompter = Prompter.of(config)
        self._optimizer = build_optimizer(self._network.parameters(), self._settings)
        self._scaler = torch.amp.GradScaler(
            device.type, enabled=self._settings.precision == "float16" and device.type == "cuda"
        )
        self.step, self._seconds, self._best = 0, 0.0, -math.inf
        self._stop_requested = False

    def prepare_cases(self) -> None:
        """Fill the cache, every process its share, then load everything that will be used."""
        names = sorted({*self._split.train, *self._split.validation})
        for number, name in enumerate(self.team.share_of(names)):
            self._display.preparing(name, number, len(names))
            self._cache.get(name)
        self.team.wait()
        for name in names:
            self._cache.get(name)

    def resume(self) -> None:
        """Continue from the folder's last checkpoint.

        Raises:
            BadInputError: If there is none, or it is of another number of processes.
        """
        state = load_checkpoint(self.folder / "last.pt")
        if state["processes"] != self.team.size:
            raise BadInputError(
                f"The run was made with {state['processes']} processes; "
                "resume it with as many, or its course would change."
            )
        self._network.load_state_dict(state["network"])
        self._average.load(state["average"], state["step"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.step, self._seconds, self._best = state["step"], state["seconds"], state["best"]
        restore_random_states(state["random"][self.team.rank])

    def run(self) -> float:
        """Train to the end of the budget, or until asked to stop; returns the training seconds."""
        budget = Budget(self._settings, self._seconds)
        if self.step == 0:
            self._save_state(budget)  # a run that is killed at once can be resumed, too
        elif budget.is_spent(self.step):
            return self._seconds
        history = History(self.folder, self.step) if self.team.leads else None
        model = self.team.wrap(self._network, self._device)
        loader = window_loader(
            self._windows,
            self.step,
            self._settings.steps,
            self._settings.batch_size,
            self.team.rank,
            self.team.size,
            self.config.run.workers,
            pin_memory=self._device.type == "cuda",
        )
        with stop_signals(self._request_stop):
            for image, target in loader:
                started = time.monotonic()
                progress = self.team.agree(budget.progress(self.step))
                step = self._train_step(model, image, target, progress)
                self.step += 1
                ends, stops = self.team.agree((budget.is_spent(self.step), self._stop_requested))
                if history is not None:
                    self._note(history, step, budget, time.monotonic() - started)
                if self._is_due(ends):
                    self._validate(history)
                if ends or stops or self.step % self.config.run.checkpoint_every == 0:
                    self._save(budget)
                if ends or stops:
                    break
        if history is not None:
            history.close()
        return budget.seconds

    @property
    def is_finished(self) -> bool:
        """Whether the budget is spent (a stopped run is not finished)."""
        return not self._stop_requested

    def examples(self, count: int = 4) -> list[Example]:
        """Predictions of the averaged network on the first validation (else training) cases."""
        names = (*self._split.validation, *self._split.train)[:count]
        examples = []
        for name in names:
            case = self._cache.get(name)
            probabilities = self._validator.predict(self._average.network, case.image)
            examples.append(
                Example(
                    name,
                    case.image[0].float().numpy(),
                    case.target.bool().numpy(),
                    (probabilities >= 0.5).numpy(),
                )
            )
        return examples

    def _request_stop(self) -> None:
        self._stop_requested = True

    def _train_step(
        self, model: torch.nn.Module, image: Tensor, target: Tensor, progress: float
    ) -> Step:
        rate = learning_rate(progress, self._settings.learning_rate, self._settings.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        model.train()
        image = image.to(self._device, non_blocking=True)
        target = target.to(self._device, non_blocking=True)
        near = None
        if self._prompter is not None:
            image, near = self._prompted(image, target)
        with torch.autocast(self._device.type, self._dtype, self._dtype != torch.float32):
            outputs = model(image)
        loss = self._loss(outputs, target)
        if near is not None:
            around_clicks = target.masked_fill(~near[:, None], UNKNOWN)
            loss = loss + self.config.interaction.near * self._loss(outputs, around_clicks)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        norm = torch.nn.utils.clip_grad_norm_(
            self._network.parameters(), self._settings.clip_gradient
        )
        mean_loss = self.team.mean(float(loss.detach()))
        self._stop_if_not_a_number(mean_loss, float(norm))
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._average.update(self._network)
        return Step(mean_loss, float(norm), rate)

    def _prompted(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The batch with prompt channels, and where it was clicked (B, X, Y, Z)."""
        assert self._prompter is not None
        first = (self.step * self.team.size + self.team.rank) * len(image)
        self._network.eval()
        prompted = [
            self._prompter.with_prompts(*window, first + index, self._probabilities)
            for index, window in enumerate(zip(image, target, strict=True))
        ]
        self._network.train()
        images, near = zip(*prompted, strict=True)
        return torch.stack(images), torch.stack(near).to(self._device)

    @torch.no_grad()
    def _probabilities(self, batch: Tensor) -> Tensor:
        with torch.autocast(self._device.type, self._dtype, self._dtype != torch.float32):
            return finest(self._network(batch)).float().sigmoid()

    def _stop_if_not_a_number(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and (math.isfinite(norm) or self._scaler.is_enabled()):
            return
        kept = self.folder / "last.pt"
        where = (
            f"the last good checkpoint is {kept}" if kept.is_file() else "no checkpoint exists yet"
        )
        raise NotANumberError(
            f"The loss stopped being a number at step {self.step + 1}; {where}. "
            "Lower the learning rate or use float32."
        )

    def _is_due(self, ends: bool) -> bool:
        if not self._split.validation:
            return False
        run = self.config.run
        return ends or self.step == run.first_validation or self.step % run.validate_every == 0

    def _validate(self, history: History | None) -> None:
        network, names = self._average.network, self._split.validation
        scores = self._validator.scores(network, names, self.team)
        subsets = {
            subset.name: subset.mean_of(
                self._validator.scores(network, names, self.team, subset.absent)
            )
            for subset in self._subsets
        }
        if history is None:
            return
        values = np.asarray(list(scores.values()))
        mean = float(values.mean())
        score = float(np.mean([mean, np.mean(list(subsets.values()))])) if subsets else mean
        per_region = dict(zip(self.regions, values.mean(axis=0).tolist(), strict=True))
        history.add(
            "validation",
            self.step,
            dice=mean,
            **per_region,
            cases=scores,
            score=score,
            subsets=subsets,
        )
        self._display.validated(self.step, mean, per_region, subsets)
        if score > self._best:
            self._best = score
            self._save_weights("best.pt", score)

    def _note(self, history: History, step: Step, budget: Budget, took: float) -> None:
        done = budget.progress(self.step)
        self._display.stepped(self.step, done, step.loss, step.learning_rate, budget.seconds)
        if self.step % self.config.run.log_every == 0 or self.step == 1:
            seconds = {"seconds": budget.seconds, "step_seconds": took}
            history.add("training", self.step, **asdict(step), **seconds)

    def _save_weights(self, name: str, score: float | None) -> None:
        content = {
            "network": self._average.state_dict(),
            "step": self.step,
            "validation_dice": score,
            "cases": {"train": list(self._seen.train), "validation": list(self._seen.validation)},
        }
        save_checkpoint(content, self.folder / name)

    def _save(self, budget: Budget) -> None:
        self._save_state(budget)
        if self.team.leads:
            self._save_weights("final.pt", None)

    def _save_state(self, budget: Budget) -> None:
        """Write what a run goes on from."""
        states = self.team.gather([random_states()])
        if not self.team.leads:
            return
        content = {
            "processes": self.team.size,
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "step": self.step,
            "seconds": budget.seconds,
            "best": self._best,
            "random": states,
        }
        save_checkpoint(content, self.folder / "last.pt")
