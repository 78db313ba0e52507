"""Runs the cases of the Python client against two servers that have acp.test.v1.Control.

    python3 Tests/Interop/run.py --plain PORT --wrapped PORT [CASE…]

--wrapped is a server that compresses always and asks for checksums; --plain does neither. Their keys `viewer` and `admin` have those roles.
What PyPI has to give (requirements.txt) is put into .build-interop once. Exit status 75: it cannot be had, and nothing was run.
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent


def install():
    """The folder with the packages of requirements.txt."""
    wanted = (here / "requirements.txt").read_bytes() + sys.version.encode()
    folder = root / ".build-interop" / hashlib.sha256(wanted).hexdigest()[:16]
    if folder.exists():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-input", "--only-binary=:all:"]
    limits = ["--retries", "1", "--timeout", "15"]
    try:
        subprocess.run(
            pip + limits + ["--target", str(partial), "--requirement", str(here / "requirements.txt")],
            check=True, capture_output=True, text=True, timeout=120)
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        print(f"skipped: pip cannot get what requirements.txt names: {said[-1] if said else error}")
        sys.exit(75)
    try:
        partial.rename(folder)
    except OSError:
        # Somebody else was faster.
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def compile_protos(folder):
    files = ["acp/wire/v1/wire.proto", "acp/v1/options.proto", "acp/test/v1/control.proto"]
    subprocess.run(
        ["protoc", "-I", str(root / "Protos"), "-I", str(root / "Tests/Protos"), f"--python_out={folder}"] + files, check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", type=int, required=True)
    parser.add_argument("--wrapped", type=int, required=True)
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(here), str(install())]
    with tempfile.TemporaryDirectory() as folder:
        compile_protos(folder)
        sys.path.insert(0, folder)
        import cases_calls
        import cases_wire
        from support import Server, cases

        servers = {"plain": Server(arguments.plain, False), "wrapped": Server(arguments.wrapped, True)}
        ran = failures = 0
        for case in cases:
            for name in case.servers:
                if arguments.cases and case.name not in arguments.cases:
                    continue
                began = time.monotonic()
                ran += 1
                try:
                    case.run(servers[name])
                    print(f"passed {case.name} ({name}, {(time.monotonic() - began) * 1000:.0f} ms)", flush=True)
                except Exception:
                    failures += 1
                    print(f"FAILED {case.name} ({name})\n{traceback.format_exc()}", flush=True)
        del cases_calls, cases_wire
    print(f"{ran - failures} passed, {failures} failed")
    sys.exit(1 if failures or not ran else 0)


main()
