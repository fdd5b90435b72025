"""The optimizers: AdamW, or Muon for weights that are matrices and AdamW for the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import OptimizationSection

_SMALLEST_MATRIX = 8


def build_optimizer(parameters: Iterable[nn.Parameter], settings: OptimizationSection) -> Optimizer:
    """The optimizer that the settings name, for these parameters.

    Raises:
        BadInputError: If this PyTorch does not have it.
    """
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "adamw":
        return _adamw(parameters, **options)
    if not hasattr(torch.optim, "Muon"):
        raise BadInputError(
            f"PyTorch {torch.__version__} has no Muon; install 2.9 or later, or write "
            "'optimizer: adamw'."
        )
    return MuonAdamW(parameters, **options, kernel_rate=settings.kernel_rate)


class MuonAdamW(Optimizer):
    """Muon for the matrices among the weights, AdamW for biases, norms, embeddings and heads.

    Muon (Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024) moves a matrix
    along its orthogonalised momentum. A kernel counts as the matrix (first dimension, all others).
    Updates have the mean square of AdamW's (Liu et al., arXiv:2502.16982), so that one learning
    rate and one weight decay serve both.

    Args:
        parameters: All that are learned.
        lr, weight_decay: As in AdamW.
        kernel_rate: "matrix" moves a kernel of n voxels as far as any matrix of its size, and so
            the channels that it makes about sqrt(n) times as far as a linear map of as many
            channels would; "voxel" divides its rate by sqrt(n).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        kernel_rate: Literal["matrix", "voxel"] = "matrix",
    ) -> None:
        parameters = list(parameters)
        super().__init__(parameters, {"lr": lr})
        self._kernels = [p for p in parameters if _is_matrix(p)]
        # Views of the same memory, because `torch.optim.Muon` takes two dimensions only.
        self._matrices = [nn.Parameter(p.detach().view(len(p), -1)) for p in self._kernels]
        exponent = -0.5 if kernel_rate == "voxel" else 0.0
        groups = [
            {"params": [matrix], "share": kernel[0, 0].numel() ** exponent}
            for kernel, matrix in zip(self._kernels, self._matrices, strict=True)
        ]
        self._muon = torch.optim.Muon(
            groups, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        others = [p for p in parameters if not _is_matrix(p)]
        self._adamw = _adamw(others, lr, weight_decay)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: the loss is known by then
        """Move all parameters by their gradients."""
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        for optimizer in (self._muon, self._adamw):
            for group in optimizer.param_groups:
                group["lr"] = self.param_groups[0]["lr"] * group.get("share", 1.0)
            optimizer.step()
        self._muon.zero_grad()  # or gradients that the network has let go would stay in memory

    def state_dict(self) -> dict:
        """The state of both parts."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore the state of both parts."""
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])


def _adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> AdamW:
    parameters = list(parameters)
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it maps several channels to several: not a bias, a norm, an embedding or a head."""
    return parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= _SMALLEST_MATRIX
