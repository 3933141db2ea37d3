"""Print what a machine has of NVIDIA GPUs: {"gpus": number, "driver": version or null}, as JSON.

Sources: class and vendor of PCI devices (docs.kernel.org/PCI/sysfs-pci.html), the driver's
/proc/driver/nvidia/version. Runs with the machine's own Python, from 3.8 on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

NVIDIA = "0x10de"
DISPLAY = "0x03"  # display controllers: VGA-compatible ones and 3D ones
DEVICES = Path("/sys/bus/pci/devices")
DRIVER = Path("/proc/driver/nvidia/version")


def gpus(devices: Path) -> int:
    """Count the machine's NVIDIA GPUs."""
    found = 0
    for device in devices.glob("*"):
        vendor, kind = device / "vendor", device / "class"
        if vendor.is_file() and kind.is_file():
            ours = vendor.read_text().strip() == NVIDIA
            found += ours and kind.read_text().startswith(DISPLAY)
    return found


def driver(version: Path) -> str | None:
    """Return the version of the loaded driver; None without one."""
    if not version.is_file():
        return None
    match = re.search(r"\b[0-9]{3}(\.[0-9]+)+\b", version.read_text())
    return match.group() if match else None


if __name__ == "__main__":
    print(json.dumps({"gpus": gpus(DEVICES), "driver": driver(DRIVER)}))
