"""A stand-in for nvidia-smi: GPUs of 100 to 400 W and 210 to 1980 MHz, kept in a file.

Whatever is not asked for by its own option is answered as nvidia-smi(1) does with
`--format=csv,noheader,nounits`.
"""

import json
import sys
from pathlib import Path

PROGRAM = """#!{python}
import json, os, sys
path = {state!r}
gpus = json.load(open(path))
options = dict(a.lstrip("-").partition("=")[::2] for a in sys.argv[1:])
gpu = gpus.get(options.get("id"), {{}})
asked = options.get("query-gpu")
if asked == "uuid":
    print("\\n".join(gpus))
elif asked:
    print(gpu[asked])
elif "query-supported-clocks" in options:
    print("1980\\n1965\\n225\\n210" if gpu["clocks.sm"] != "[N/A]" else "[N/A]")
elif gpu.get("stuck"):
    print("Insufficient Permissions")
    sys.exit(4)
elif "power-limit" in options:
    gpu["power.limit"] = float(options["power-limit"])
elif "lock-gpu-clocks" in options:
    gpu["clocks.sm"] = float(options["lock-gpu-clocks"].split(",")[1])
elif "reset-gpu-clocks" in options:
    gpu["clocks.sm"] = 1980.0
json.dump(gpus, open(path + ".partial", "w"))
os.replace(path + ".partial", path)
"""
GPU = {
    "power.limit": 350.0,
    "power.min_limit": 100.0,
    "power.max_limit": 400.0,
    "clocks.sm": 1980.0,
}


class Gpus:
    """Two GPUs, and a folder with the program that tells of them."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "gpus.json"
        self.state.write_text(json.dumps({"GPU-a": GPU, "GPU-b": GPU}))
        self.folder = folder / "bin"
        self.folder.mkdir()
        program = self.folder / "nvidia-smi"
        program.write_text(PROGRAM.format(python=sys.executable, state=str(self.state)))
        program.chmod(0o755)

    def all(self, what: str) -> dict[str, float]:
        """One figure of every GPU."""
        return {name: gpu[what] for name, gpu in json.loads(self.state.read_text()).items()}

    def change(self, name: str, **figures: object) -> None:
        """Make a GPU another one."""
        gpus = json.loads(self.state.read_text())
        gpus[name].update(figures)
        partial = self.state.with_suffix(".changed")
        partial.write_text(json.dumps(gpus))
        partial.replace(self.state)
