"""A function in a fresh process: for what only the first call, or only an empty process, can tell."""

import importlib
import json
import os
import subprocess
import sys

# glibc keeps small freed blocks for later and raises, as it goes, the size it calls small. With the size
# fixed, tensors come from the system and go back to it, and resident memory is memory in use.
_STRICT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
_MARK = "posemamba-isolated:"


class Failed(Exception):
    """The function raised, or its process died; the message says how."""


def call(function: str, environment: dict[str, str] | None = None, timeout: float = 900.0, **arguments):
    """Call a function in a process of its own and return what it returns.

    Arguments:
        function: "module:name".
        environment: variables to set there.
        timeout: seconds after which it is ended.
        arguments: for the function; like its result, what JSON can hold.

    Raises Failed.
    """
    command = [sys.executable, "-m", "posemamba.benchmark.isolated"]
    # The package may be a checkout that is not installed: the child finds it where this process did.
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | _STRICT | {"PYTHONPATH": os.pathsep.join(paths)} | (environment or {})
    try:
        done = subprocess.run(
            command,
            input=json.dumps([function, arguments]),
            env=variables,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"took more than {timeout:.0f} s") from None
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            answer = json.loads(line.removeprefix(_MARK))
            if "failed" in answer:
                raise Failed(answer["failed"])
            return answer["result"]
    if done.returncode == -9:
        raise Failed("ended by the system, most likely for want of memory")
    raise Failed(f"ended with exit code {done.returncode}")


def main() -> None:
    """The other side: read the call from standard input, write its result as the last line."""
    target, arguments = json.load(sys.stdin)
    module, name = target.split(":")
    try:
        answer = {"result": getattr(importlib.import_module(module), name)(**arguments)}
    except Exception as error:
        from posemamba.benchmark.timing import reason

        answer = {"failed": reason(error)}
    print(f"\n{_MARK}{json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    main()
