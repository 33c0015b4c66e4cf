"""Compile the scan's GPU kernels, which needs no GPU: for several of them, with any versions of Triton.

    python tools/compile_kernels.py                                   with the Triton that is installed
    python tools/compile_kernels.py --triton 3.2.0 3.3.1 3.4.0 3.5.0   with these, each fetched for the while

torch 2.6 to 2.9 bring Triton 3.2 to 3.5. Prints for each kernel how many shuffles it has (exchanges between
threads, which cost time), atomic additions (whose order is none), logarithms that are wrong near 1, addresses
that are made with 32 bits, and what ptxas says: a thread's registers, and the bytes of numbers that have no
room in them, written and read again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Compute capabilities: Turing (Colab's T4), Ampere, Hopper.
CAPABILITIES = (75, 80, 90)
KERNELS = ("part_ends", "carry", "outputs", "gradients", "merge")
SIZES = dict(N=16, TILE=8, BLOCK=64, TILES=8, each=4)
STRIDES = ("x_c", "d_c", "B_n", "C_n", "m_n", "y_c")
# A block of the published network in half precision, and all else that the kernels know.
# Registers a thread may have, as `posemamba.scan.cuda.backend` asks for them.
MOST_REGISTERS = dict(part_ends=128, outputs=128)
CASES = {
    "network": SIZES
    | dict(SOFTPLUS=True, REVERSE=False)
    | dict.fromkeys(STRIDES, 1)
    | dict.fromkeys(("initial", "bias", "dbias", "scale", "B_scale", "C_scale", "dB_scale", "dC_scale")),
    "other": SIZES | dict(SOFTPLUS=False, REVERSE=True, each=1, N=3, BLOCK=32, reads=None, mixes=None),
}
POINTERS = {
    "*i32": "reads mixes edges entries",
    "*bf16": "x dy delta B C M ddelta",
    "*fp32": "D bias initial B_scale C_scale rate scale states sums reaching scratch y dx du "
    "dA dB dC dD dbias dB_scale dC_scale",
}


def assembled(ptx: str, capability: int) -> dict[str, int]:
    """What ptxas, the one that Triton brings, says of a kernel."""
    import triton

    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    target = f"sm_{capability}" + ("a" if capability >= 90 else "")
    command = [program, "-v", f"--gpu-name={target}", "-o", os.devnull, "/dev/stdin"]
    said = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True).stderr
    told = dict(registers="Used ([0-9]+) registers")
    told |= dict(spilled="([0-9]+) bytes spill stores", refilled="([0-9]+) bytes spill loads")
    return {name: int(re.search(pattern, said)[1]) for name, pattern in told.items()}


def compile_all(capabilities: tuple[int, ...]) -> dict[str, dict[str, dict[str, int]]]:
    """Compile all kernels with the Triton at hand: by case and kernel, what its PTX holds and ptxas says."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from posemamba.scan.cuda import gradients, kernels

    kinds = {name: kind for kind, names in POINTERS.items() for name in names.split()}
    kinds |= dict.fromkeys(STRIDES, "i64")
    result = {}
    for what, capability in [("network", c) for c in capabilities] + [("other", capabilities[-1])]:
        counts = result[f"{what}, sm_{capability}"] = {}
        for name in KERNELS:
            kernel = getattr(kernels, name, None) or getattr(gradients, name)
            fixed = {n: value for n, value in CASES[what].items() if n in kernel.arg_names}
            if name == "merge":
                fixed.pop("reads", None)
            else:
                fixed.pop("each", None)
            signature = {n: "constexpr" if n in fixed else kinds.get(n, "i32") for n in kernel.arg_names}
            if capability < 80:  # no bfloat16 there; the backend hands over float32 instead
                signature = {n: kind.replace("bf16", "fp16") for n, kind in signature.items()}
            source = ASTSource(kernel, signature, fixed)
            options = dict(num_warps=1, num_stages=1)
            if name in MOST_REGISTERS:
                options["maxnreg"] = MOST_REGISTERS[name]
            code = compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm
            ptx, offsets = code["ptx"], re.findall("tt.addptr.* (?:tensor<.*x)?i([0-9]+)>?", code["ttir"])
            atomic = len(re.findall(r"\b(?:atom|red)\.", ptx))
            counts[name] = dict(shuffles=ptx.count("shfl"), atomic=atomic, rough=ptx.count("lg2.approx"))
            counts[name] |= dict(narrow=offsets.count("32")) | assembled(ptx, capability)
    return result


def with_version(version: str, capabilities: tuple[int, ...]) -> str:
    """What `compile_all` gives or raises with this version of Triton, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*pip, f"triton=={version}"], check=True)
        paths = os.pathsep.join((folder, str(ROOT)))
        environment = os.environ | {"PYTHONPATH": paths, "TRITON_CACHE_DIR": f"{folder}/cache"}
        command = [sys.executable, __file__, "--capability", *map(str, capabilities)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return done.stdout.strip() or done.stderr.strip()[-1500:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triton", nargs="*", default=[], metavar="VERSION", help="fetched by pip")
    parser.add_argument("--capability", nargs="*", type=int, default=CAPABILITIES)
    options = parser.parse_args()
    if not options.triton:
        import triton

        print(json.dumps({"triton": triton.__version__} | compile_all(tuple(options.capability))))
        return 0
    failed = 0
    for version in options.triton:
        said = with_version(version, tuple(options.capability))
        failed += not said.startswith("{")
        print(said if said.startswith("{") else f"triton {version}: {said}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
