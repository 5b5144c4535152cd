"""Make .venv: fetch a pinned uv, find a Python >= 3.12, install the lock with hashes, add the members.

Started by tools/bootstrap with the fingerprint to leave behind. Runs on any Python from 3.6, with the
standard library alone, so no newer syntax here. Safe to start twice at once: the second waits, then finds
the work done.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, ".tools")
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, ".bootstrapped")
LOCK = os.path.join(ROOT, "requirements", "lock.txt")
UV_LOCK = os.path.join(ROOT, "requirements", "bootstrap.txt")
OLDEST = (3, 12)
PREFERRED = ("3.13", "3.12", "3.14", "3.15")

# Prints what decides whether a Python will do; `sys.executable` leads from a shim to the real thing.
PROBE = (
    "import sys, venv, ssl, ctypes; v = sys.version_info; "
    "print('%d %d %s' % (v[0], v[1], sys.executable)) if v.releaselevel == 'final' else sys.exit(1)"
)

NO_PYTHON = """\
bootstrap: no Python 3.12 or newer was found (looked at UV_PYTHON, PATH, pyenv's folders and uv's own).
Install one and run the same command again, for example:
  Debian 13, Ubuntu 24.04:  apt-get install python3
  macOS:                    brew install python@3.13
  any machine with pyenv:   pyenv install 3.13
or name one that PATH does not show:  UV_PYTHON=/path/to/python3.13 make ...
"""

NO_PIP = """\
bootstrap: could not install uv: no Python here has a working pip or venv module, and no uv is in PATH.
On Debian and Ubuntu:  apt-get install python3-venv
The last attempt said:
%s
"""


class Failed(Exception):
    """A step failed; the text says what to do."""


def main(fingerprint):
    """Do what is missing, under a lock that dies with the process."""
    os.makedirs(TOOLS, exist_ok=True)
    with open(os.path.join(TOOLS, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read(STAMP).strip() == fingerprint and works(VENV_PYTHON):
            return
        uv = ensure_uv()
        ensure_venv(uv)
        install(uv)
        write(STAMP, fingerprint + "\n")
        say("ready")


# --- uv ------------------------------------------------------------------------------------------


def ensure_uv():
    """Return the path of the uv that requirements/bootstrap.txt pins, installing it first if need be."""
    home = os.path.join(TOOLS, "uv-" + digest(UV_LOCK)[:12])
    uv = os.path.join(home, "bin", "uv")
    if not works(uv, "--version"):
        say("installing uv")
        fresh = tempfile.mkdtemp(dir=TOOLS)
        try:
            fetch_uv(fresh)
            shutil.rmtree(home, ignore_errors=True)
            os.rename(fresh, home)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    link = os.path.join(TOOLS, "uv")
    if not os.path.islink(link) or os.readlink(link) != uv:
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(uv, link)
    return uv


def fetch_uv(target):
    """Install uv into a folder by whatever installer works here."""
    said = ""
    for installer in uv_installers(target):
        done = installer()
        if done.returncode == 0 and works(os.path.join(target, "bin", "uv"), "--version"):
            return
        said = (done.stderr or done.stdout or said).strip()
    raise Failed(NO_PIP % said[-1500:])


def uv_installers(target):
    """Yield the ways to install uv, surest first; each is called only when those before it failed."""
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", UV_LOCK]
    pythons = [sys.executable] + [p for p in candidates() if p != sys.executable]
    for python in pythons:
        # --target needs neither a venv module nor rights on the system's packages.
        yield lambda python=python: pip(python, ["--target", target] + options)
    for python in pythons:
        # Debian's python3-venv brings a pip only into the environments it makes.
        yield lambda python=python: venv_pip(python, target, options)
    other = shutil.which("uv")
    if other:
        yield lambda: run([other, "pip", "install", "-q", "--target", target] + options)


def venv_pip(python, target, options):
    """Install with the pip of a throw-away environment."""
    env = tempfile.mkdtemp(dir=TOOLS)
    try:
        made = run([python, "-m", "venv", env])
        if made.returncode != 0:
            return made
        return pip(os.path.join(env, "bin", "python"), ["--target", target] + options)
    finally:
        shutil.rmtree(env, ignore_errors=True)


PIP_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")


def pip(python, arguments):
    """Run pip install, deaf to settings that would install elsewhere; mirrors stay in use."""
    env = {k: v for k, v in os.environ.items() if k not in PIP_MISLEADING}
    # A value in the environment beats one in a configuration file, but an empty one does not.
    env.update(PIP_CONSTRAINT=os.devnull, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    return run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check"] + arguments, env=env)


# --- Python ---------------------------------------------------------------------------------------


def candidates():
    """Yield Pythons that may do, the wanted version first. Most do not exist."""
    if os.environ.get("UV_PYTHON"):
        yield os.environ["UV_PYTHON"]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for version in PREFERRED:
        yield "python" + version
        # pyenv's shims refuse a version that no .python-version selects; its folders always work.
        for folder in sorted(glob.glob(os.path.join(pyenv, "versions", version + ".*")), reverse=True):
            yield os.path.join(folder, "bin", "python")
        for prefix in ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"):
            yield os.path.join(prefix, "python" + version)
    yield "python3"
    yield sys.executable


def find_python(uv):
    """Return the real path of the first Python that is new enough."""
    for candidate in candidates():
        found = probe(candidate)
        if found:
            return found
    asked = run([uv, "python", "find", "--no-python-downloads", "--no-project", ">=%d.%d" % OLDEST])
    found = probe(asked.stdout.strip()) if asked.returncode == 0 else None
    if not found:
        raise Failed(NO_PYTHON)
    return found


def probe(python):
    """Return the real path of a Python that runs, is complete and new enough; else None."""
    done = run([python, "-c", PROBE])
    words = done.stdout.split(None, 2) if done.returncode == 0 else []
    if len(words) != 3 or (int(words[0]), int(words[1])) < OLDEST:
        return None
    return words[2].strip()


# --- the environment ------------------------------------------------------------------------------


def ensure_venv(uv):
    """Make .venv unless a working one of this very folder is there."""
    if probe(VENV_PYTHON) == VENV_PYTHON:
        return
    python = find_python(uv)
    say("making .venv with %s" % python)
    must(run([uv, "venv", "-q", "--clear", "--no-project", "--python", python, VENV], env=uv_env(python)))


def install(uv):
    """Install what the lock pins, then the members, leaving alone what has not changed."""
    env = uv_env(VENV_PYTHON)
    locked = os.path.join(VENV, ".locked")
    if read(locked) != digest(LOCK):
        say("installing the locked dependencies")
        command = [uv, "pip", "sync", "-q", "--python", VENV_PYTHON, "--require-hashes", LOCK]
        must(run(command, env=env))
        write(locked, digest(LOCK))
    members = sorted(
        glob.glob(ROOT + "/packages/*/pyproject.toml") + glob.glob(ROOT + "/services/*/pyproject.toml")
    )
    say("installing the workspace")
    command = [
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        VENV_PYTHON,
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    for member in members:
        command += ["-e", os.path.dirname(member)]
    must(run(command, env=env))


def uv_env(python):
    """Return the environment for uv: this Python, a mirror that pip knows, a cache that can be written."""
    env = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")}
    env["UV_PYTHON"] = python
    env["UV_PYTHON_DOWNLOADS"] = "never"
    if "UV_DEFAULT_INDEX" not in env and "UV_INDEX_URL" not in env and env.get("PIP_INDEX_URL"):
        env["UV_DEFAULT_INDEX"] = env["PIP_INDEX_URL"]
    cache = env.get("UV_CACHE_DIR") or env.get("XDG_CACHE_HOME") or os.path.expanduser("~")
    if not os.access(cache if os.path.isdir(cache) else os.path.dirname(cache) or "/", os.W_OK):
        env["UV_CACHE_DIR"] = os.path.join(TOOLS, "cache")
    return env


# --- small things ---------------------------------------------------------------------------------


def run(command, env=None):
    """Run a command to its end, output as text; a program that is missing is a failure like others."""
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def must(done):
    """Stop with the command's own words if it failed."""
    if done.returncode != 0:
        raise Failed(
            "bootstrap: `%s` failed:\n%s" % (" ".join(done.args), (done.stderr or done.stdout).strip())
        )


def works(program, argument="-V"):
    """Say whether a program runs."""
    return run([program, argument]).returncode == 0


def digest(path):
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def read(path):
    """Return a file's text, or nothing when there is no such file."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def write(path, text):
    """Replace a file in one step."""
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def say(text):
    """Tell the person who waits."""
    sys.stderr.write("bootstrap: %s\n" % text)
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Failed as failure:
        sys.exit(str(failure).rstrip())
    except KeyboardInterrupt:
        sys.exit(130)
