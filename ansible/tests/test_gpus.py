"""What the GPU preflight sees of a machine, on folders like the kernel's."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

VERSION = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs)\n"
    "GCC version:  gcc version 13.3.0\n"
)


@pytest.fixture
def gpus(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("gpus")


def device(folder: Path, name: str, vendor: str, kind: str) -> None:
    (folder / name).mkdir()
    (folder / name / "vendor").write_text(f"{vendor}\n")
    (folder / name / "class").write_text(f"{kind}\n")


def test_display_controllers_of_nvidia_are_counted(gpus: ModuleType, tmp_path: Path) -> None:
    device(tmp_path, "0000:17:00.0", "0x10de", "0x030200")  # a GPU without a screen
    device(tmp_path, "0000:65:00.0", "0x10de", "0x030000")  # one with
    device(tmp_path, "0000:65:00.1", "0x10de", "0x040300")  # its sound
    device(tmp_path, "0000:07:00.0", "0x10de", "0x068000")  # an NVSwitch
    device(tmp_path, "0000:03:00.0", "0x1a03", "0x030000")  # somebody else's
    (tmp_path / "broken").mkdir()
    assert gpus.gpus(tmp_path) == 2


def test_a_machine_without_pci_has_none(gpus: ModuleType, tmp_path: Path) -> None:
    assert gpus.gpus(tmp_path / "nothing") == 0


def test_the_drivers_version_is_read(gpus: ModuleType, tmp_path: Path) -> None:
    assert gpus.driver(tmp_path / "version") is None
    (tmp_path / "version").write_text(VERSION)
    assert gpus.driver(tmp_path / "version") == "580.95.05"
