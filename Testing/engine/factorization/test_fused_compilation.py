"""The fused kernels are compiled for graphics cards, which needs none: only their compilers."""

from __future__ import annotations

import os

import pytest

triton = pytest.importorskip("triton")

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="interpreted kernels are not compiled"
)

NUMBERS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
FLOAT32_POINTERS = {
    "v0_ptr", "u_ptr", "v_ptr", "projected_ptr", "bias_ptr", "weight_ptr", "norm_weight_ptr",
    "norm_bias_ptr", "vectors_ptr", "matrices_ptr",
}  # fmt: skip
SHAPES = {
    "P0": 8, "P1": 8, "P2": 8, "Q1": 4, "Q2": 4, "SHIFTS": 2, "HEAD": 8, "HEAD_WIDTH": 8,
    "HEADS": 2, "WIDTH": 32, "BLOCK": 16, "ROWS": 64, "SWEEPS": 8,
}  # fmt: skip


def _kernel(name: str):
    from factorizer_engine.factorization.fused import gradient_kernels, kernels

    return getattr(kernels, name, None) or getattr(gradient_kernels, name)


def _type(argument: str, number: str) -> str:
    if argument in ("eps", "norm_eps"):
        return "fp32"
    if not argument.endswith("_ptr"):
        return "i32"
    if argument in ("shifts_ptr", "segments_ptr"):
        return "*i32"
    return "*fp32" if argument in FLOAT32_POINTERS else f"*{number}"


ONES = dict.fromkeys(("P0", "P1", "Q1", "SHIFTS", "SWEEPS"), 1)
WIDE = {"HEAD": 64, "HEAD_WIDTH": 64, "HEADS": 1}
LEAST_SHARED = 48 * 1024
"""Bytes of shared memory that a program may have on every card."""


@pytest.mark.parametrize(
    ("dtype", "special", "generation"),
    [
        ("float32", {}, 80),
        ("bfloat16", {}, 90),
        ("bfloat16", WIDE, 90),  # multiplied by other instructions
        ("float32", {"SPLIT": False, **ONES}, 75),
    ],
    ids=["float32", "bfloat16", "wide heads", "float32 on a line, without tensor cores"],
)
@pytest.mark.parametrize(
    "name",
    [
        "factors_kernel",
        "expansion_kernel",
        "layer_norm_kernel",
        "reconstruction_kernel",
        "factor_gradient_kernel",
        "input_gradient_kernel",
    ],
)
def test_kernels_compile_for_a_graphics_card(
    name, dtype, special, generation, tmp_path, monkeypatch
):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, number = _kernel(name), NUMBERS[dtype]
    values = SHAPES | {"PRODUCT": getattr(triton.language, dtype), "SPLIT": True} | special
    constants = {key: value for key, value in values.items() if key in kernel.arg_names}
    signature = {
        argument: "constexpr" if argument in constants else _type(argument, number)
        for argument in kernel.arg_names
    }
    source = triton.compiler.ASTSource(kernel, signature, constexprs=constants)
    target = triton.backends.compiler.GPUTarget("cuda", generation, 32)
    compiled = triton.compile(source, target=target)
    assert compiled.asm["cubin"] and compiled.metadata.shared <= LEAST_SHARED
