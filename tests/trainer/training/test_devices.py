from pathlib import Path

import keras
import pytest

from metseg.errors import RequestError
from metseg_trainer.recipes.options import Precision
from metseg_trainer.training import devices
from metseg_trainer.training.devices import Hardware, computing_in, cpu_name, resolve_precision, sharing_scope


def cpu_info(folder: Path, flags: str) -> Path:
    """A /proc/cpuinfo of one processor."""
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: Example 9000\nflags\t\t: fpu sse2 {flags}\n\n")
    return path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx2", Precision.FLOAT32),
        ("avx512f avx512_bf16", Precision.BFLOAT16),
        ("amx_bf16 amx_tile", Precision.BFLOAT16),
    ],
)
def test_a_processor_that_multiplies_bfloat16_is_let_do_so(
    flags: str, expected: Precision, tmp_path: Path
) -> None:
    assert resolve_precision(Precision.AUTO, cpu_info(tmp_path, flags)) is expected


def test_a_gpu_computes_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_names", lambda: ["a GPU"])
    assert resolve_precision(Precision.AUTO) is Precision.FLOAT16


def test_a_named_precision_stays_as_it_is(tmp_path: Path) -> None:
    assert resolve_precision(Precision.FLOAT32, cpu_info(tmp_path, "avx512_bf16")) is Precision.FLOAT32


def test_the_processor_is_known_by_its_model_name(tmp_path: Path) -> None:
    assert cpu_name(cpu_info(tmp_path, "")) == "Example 9000"
    assert cpu_name(tmp_path / "none")


def test_a_precision_ends_with_its_block() -> None:
    with computing_in(Precision.BFLOAT16):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_one_device_shares_with_none() -> None:
    assert sharing_scope(Hardware(), batch=8) is None


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(RequestError, match="64 devices were asked for, but only"):
        sharing_scope(Hardware(devices=64), batch=64)


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    with pytest.raises(RequestError, match="batch of 7 slices cannot be dealt out evenly to 2"):
        sharing_scope(Hardware(devices=2), batch=7)
