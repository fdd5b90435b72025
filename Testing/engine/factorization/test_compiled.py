"""The compiled kernels against torch's form, and the way around them."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from numba.core.caching import IndexDataCacheFile

from engine import reference
from factorizer_engine.bundles.published.presets import PRESETS
from factorizer_engine.factorization import Matricize, SWMatricize, trust
from factorizer_engine.factorization import threads as parts_in_threads
from factorizer_engine.factorization.backends import COMPILED
from factorizer_engine.factorization.compiled import backend, cache
from factorizer_engine.factorization.mixing import mix_in_blocks
from factorizer_engine.factorization.rank_one import rank_one_factors
from factorizer_engine.networks import FactorizerBlock

KERNELS = "factorizer_engine.factorization.compiled.kernels"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(COMPILED.trust, "failed", False)
    monkeypatch.setattr(COMPILED.trust, "verdicts", {})
    # Tools that configure logging in this process (import-linter does) may have silenced it.
    monkeypatch.setattr(trust._log, "disabled", False)


def _block(channels: int, size: tuple[int, ...], reshape, **settings) -> FactorizerBlock:
    torch.manual_seed(0)
    block = FactorizerBlock(channels, size, reshape=reshape, rank=1, **settings).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return block


def _assert_same(block: FactorizerBlock, x: torch.Tensor, monkeypatch) -> None:
    served = []
    with monkeypatch.context() as patch, torch.no_grad():
        expand = COMPILED.expand
        patch.setattr(COMPILED, "expand", lambda *a, **k: served.append(True) or expand(*a, **k))
        found = block(x)
    assert served and not COMPILED.trust.failed
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(COMPILED.trust, "failed", True)
        expected = block(x)
    assert reference.relative(found, expected) < 1e-5


# Heads and windows of each kind, with those of the published settings below: each pair of them is
# compiled for seconds.
@pytest.mark.parametrize(("head_dim", "patch"), [(4, 8), (16, 2)])
def test_a_block_is_the_same_as_with_torch(head_dim, patch, monkeypatch):
    size = (patch, 3 * patch, 2 * patch)
    reshape = SWMatricize, {"head_dim": head_dim, "patch_size": patch}
    block = _block(3 * head_dim, size, reshape)
    _assert_same(block, torch.randn(2, 3 * head_dim, *size), monkeypatch)


@pytest.mark.parametrize("name", PRESETS)
def test_every_published_setting_is_the_same_as_with_torch(name, monkeypatch):
    preset = PRESETS[name]
    assert preset.network["reshape"] == "SWMatricize"
    head_dim, patch = preset.fingerprint["head_dim"], preset.fingerprint["patch_size"]
    reshape = {"head_dim": head_dim, "patch_size": patch, "shifts": preset.network["shifts"]}
    block = _block(32, (2 * patch,) * 3, (SWMatricize, reshape))
    _assert_same(block, torch.randn(1, 32, *(2 * patch,) * 3), monkeypatch)


@pytest.mark.parametrize(
    ("size", "reshape"),
    [
        ((8, 12), (SWMatricize, {"head_dim": 4, "patch_size": 4, "shifts": (None, 1, (-2, 7))})),
        ((24,), (SWMatricize, {"head_dim": 4, "patch_size": 8})),
        ((8, 4, 6), (Matricize, {"head_dim": 4, "patch_size": (4, 4, 3)})),
        ((6, 4, 5), (Matricize, {"head_dim": 8, "grid_size": 1})),
    ],
)
def test_other_axes_shifts_and_windows_are_the_same_as_with_torch(size, reshape, monkeypatch):
    _assert_same(_block(16, size, reshape), torch.randn(2, 16, *size), monkeypatch)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_parts_of_a_map_in_threads_are_the_same(count, monkeypatch):
    monkeypatch.setattr(parts_in_threads, "LARGEST_PART", 1000)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        block = _block(16, (8, 16, 8), (SWMatricize, {"head_dim": 8, "patch_size": 4}))
        _assert_same(block, torch.randn(2, 16, 8, 16, 8), monkeypatch)
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)


def test_factors_are_those_of_torch_and_an_empty_window_gives_zeros():
    torch.manual_seed(0)
    reshape = Matricize((8, 8, 8, 16), head_dim=4, patch_size=8)
    x, v0 = torch.randn(1, 8, 8, 8, 16), torch.rand(512)
    x[..., 8:] = -1.0
    with torch.no_grad():
        factors = COMPILED.find_factors(x, reshape, v0, 5, 1e-16)
    u, v = rank_one_factors(reshape(x.relu()), v0, 5, 1e-16)
    by_window = factors.u[0, 0].reshape(2, 2, 4).transpose(0, 1)  # (heads, windows, d)
    maps = reshape.inverse_forward(v.mT)
    assert reference.relative(by_window[:, 0], u[:, 0, :, 0]) < 1e-5
    found = factors.v[0].movedim(-1, 1)
    assert reference.relative(found[..., :8], maps[..., :8]) < 1e-5
    mixed = by_window[:, 1].abs().max() * found[..., 8:].abs().max()
    assert mixed < 1e-12
    assert mix_in_blocks(x, reshape, v0, 5, 1e-16)[..., 8:].abs().max() < 1e-12


def test_what_is_not_a_number_stays_so(monkeypatch):
    block = _block(8, (4, 4, 8), (Matricize, {"head_dim": 8, "patch_size": 4}))
    x = torch.randn(1, 8, 4, 4, 8)
    x[0, 0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        found = block(x)
    assert found[..., :4].isnan().all() and found[..., 4:].isfinite().all()


@pytest.mark.parametrize("why", ["gradients", "double", "heads", "autocast", "filter"])
def test_other_maps_are_left_to_torch(why, monkeypatch):
    monkeypatch.setattr(COMPILED, "expand", None)
    head_dim = 6 if why == "heads" else 4
    block = _block(2 * head_dim, (8, 8), (SWMatricize, {"head_dim": head_dim, "patch_size": 4}))
    x = torch.randn(1, 2 * head_dim, 8, 8)
    if why == "double":
        block, x = block.double(), x.double()
    if why == "filter":
        block.fact.component_filter = lambda u, v: (u, v)
    with (
        torch.set_grad_enabled(why == "gradients"),
        torch.autocast("cpu", enabled=why == "autocast"),
    ):
        assert block(x).isfinite().all()


@pytest.fixture
def block() -> FactorizerBlock:
    return _block(8, (8, 8), (SWMatricize, {"head_dim": 4, "patch_size": 4}))


def _assert_torch_serves(block: FactorizerBlock, caplog, said: str) -> None:
    x = torch.randn(1, 8, 8, 8)
    expected = block(x).detach()
    with caplog.at_level(logging.WARNING), torch.no_grad():
        for _ in range(2):
            assert reference.relative(block(x), expected) < 1e-5
    assert len(caplog.records) == 1 and said in caplog.text


def test_without_numba_torch_serves_and_the_log_says_so_once(block, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    _assert_torch_serves(block, caplog, "numba")


def test_a_kernel_that_differs_is_not_used(block, monkeypatch, caplog):
    kernels = backend.kernels()
    right = kernels.factors_kernel

    def wrong(d, patch):
        def factors(*arguments):
            right(d, patch)(*arguments)
            arguments[-1][...] *= np.float32(1.01)

        return factors

    monkeypatch.setattr(kernels, "factors_kernel", wrong)
    _assert_torch_serves(block, caplog, "do not compute")


def test_a_kernel_that_fails_is_not_used(block, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("unknown processor\nsecond line")

    monkeypatch.setattr(backend.kernels(), "factors_kernel", fail)
    _assert_torch_serves(block, caplog, "unknown processor")
    assert "second line" not in caplog.text


@pytest.mark.parametrize("name", ["factors_kernel", "normalise", "expand"])
def test_a_kernel_that_fails_later_is_not_used_any_more(name, block, monkeypatch, caplog):
    monkeypatch.setattr(parts_in_threads, "LARGEST_PART", 100)
    with torch.no_grad():
        block(torch.randn(1, 8, 8, 8))  # compared, and found right
    kernels, calls = backend.kernels(), []
    right = getattr(kernels, name)

    def fail(*arguments):
        calls.append(arguments)
        if name == "factors_kernel" or len(calls) > 2:
            raise RuntimeError("illegal instruction")
        right(*arguments)

    monkeypatch.setattr(kernels, name, (lambda *_: fail) if name == "factors_kernel" else fail)
    _assert_torch_serves(block, caplog, "illegal instruction")


def test_a_lack_of_memory_is_not_taken_for_a_failing_kernel(block, monkeypatch, caplog):
    def fail(*_):
        raise MemoryError

    with torch.no_grad():
        block(torch.randn(1, 8, 8, 8))
        monkeypatch.setattr(backend.kernels(), "expand", fail)
        with pytest.raises(MemoryError):
            block(torch.randn(1, 8, 8, 8))
    assert not caplog.records and not COMPILED.trust.failed


def double(x):
    return 2 * x


def test_without_a_folder_for_the_cache_kernels_are_compiled_all_the_same(monkeypatch, tmp_path):
    kernels = backend.kernels()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path / "file" / "folder")
    before = kernels.numba.config.CACHE_DIR

    assert kernels.compiled(double)(3) == 6
    assert kernels.numba.config.CACHE_DIR == before


def test_on_a_full_disk_kernels_are_compiled_all_the_same(monkeypatch, tmp_path):
    def write(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    kernels = backend.kernels()
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path)
    monkeypatch.setattr(IndexDataCacheFile, "save", write)
    assert kernels.compiled(double)(3) == 6
    assert list(tmp_path.rglob("*.nbc")) == []


@pytest.mark.parametrize("content", [b"", b"no code", None])
def test_damaged_code_on_file_is_compiled_again(monkeypatch, tmp_path, content):
    kernels = backend.kernels()
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path)
    assert kernels.compiled(double)(3) == 6
    for file in [*tmp_path.rglob("*.nbc"), *tmp_path.rglob("*.nbi")]:
        file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    assert kernels.compiled(double)(3) == 6


def test_what_is_on_file_is_compiled_again_after_a_change_of_another_file(monkeypatch, tmp_path):
    kernels = backend.kernels()
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path)

    def kept(sources):
        monkeypatch.setattr(cache, "_digest_of_sources", lambda: sources)
        kernel = kernels.compiled(double)
        assert kernel(3) == 6
        return sum(kernel.stats.cache_hits.values())

    assert [kept(sources) for sources in ("before", "before", "after", "after")] == [0, 1, 0, 1]


COMPILING = """\
import torch
from factorizer_engine.factorization import SWMatricize
from factorizer_engine.factorization.backends import COMPILED
from factorizer_engine.networks import FactorizerBlock
block = FactorizerBlock(8, (8, 8, 8), reshape=(SWMatricize, {"head_dim": 8, "patch_size": 4}))
with torch.no_grad():
    block(torch.rand(1, 8, 8, 8, 8))
assert not COMPILED.trust.failed
"""


def test_processes_that_compile_at_the_same_time_do_no_harm_to_each_other(tmp_path):
    command = [sys.executable, "-c", COMPILING]
    own = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=own) for _ in range(2)
    ]
    for process in processes:
        errors = process.communicate()[1]
        assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.rglob("*.nbc"))
    done = subprocess.run(command, capture_output=True, text=True, env=own)
    assert (done.returncode, done.stderr) == (0, "")


ODD_COMPUTER = """\
{before}
import logging
import torch
from factorizer_engine.factorization import SWMatricize
from factorizer_engine.factorization.backends import COMPILED
from factorizer_engine.networks import FactorizerBlock
logging.basicConfig(format="%(message)s")
block = FactorizerBlock(8, (8, 8, 8), reshape=(SWMatricize, {{"head_dim": 8, "patch_size": 4}}))
x = torch.rand(1, 8, 8, 8, 8)
expected = block(x).detach()
with torch.no_grad():
    for _ in range(2):
        torch.testing.assert_close(block(x), expected)
print(COMPILED.trust.failed)
"""
REFUSED = "import numpy; numpy.__version__ = '99.0.0'"
LIBRARIES = """\
import ctypes, ctypes.util, numpy
numpy.ones((300, 300)) @ numpy.ones((300, 300))  # by NumPy's own OpenBLAS and its threads
openmp = ctypes.util.find_library("gomp")
if openmp:
    ctypes.CDLL(openmp).omp_get_max_threads()
"""


@pytest.mark.parametrize(
    ("before", "variables", "failed", "said"),
    [
        (REFUSED, {}, "True", ["Numba needs NumPy"]),
        (LIBRARIES, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, "False", []),
        ("", {"NUMBA_CPU_NAME": "no-such-processor"}, "False", []),
    ],
    ids=[
        "a NumPy that Numba refuses",
        "other libraries and a processor without AVX2",
        "a processor of unknown name",
    ],
)
def test_on_an_odd_computer_the_result_is_the_same(tmp_path, before, variables, failed, said):
    done = subprocess.run(
        [sys.executable, "-c", ODD_COMPUTER.format(before=before)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, failed)
    lines = [line for line in done.stderr.splitlines() if "(ignoring processor)" not in line]
    assert len(lines) == len(said) and all(map(str.__contains__, lines, said))
