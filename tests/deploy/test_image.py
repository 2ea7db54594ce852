"""The image without a container engine: its Dockerfile is carried out in a plain folder, and run.

One step is not: the download of everything in deploy/requirements.txt, which `make setup` does with
the same lock and the same hashes. What was installed by that stands in for it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bff import __version__
from tests.deploy.dockerfile import Context, Instruction, below, carry_out, read
from tests.deploy.places import DEPLOY, ROOT, compose
from tests.e2e.commands import environment, free_port, until

CONTEXT = Context(ROOT)
BUILD, FINAL = read(DEPLOY / "docker" / "Dockerfile")
LOCK = "deploy/requirements.txt"


@dataclass(frozen=True, slots=True)
class Image:
    """A folder that stands for the root of the image."""

    root: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """What a process in a container has, with these beside."""
        own = {
            name: below(self.root, value.replace("$PATH", os.environ["PATH"]))
            for name, value in FINAL.environment.items()
        }
        inherited = {name: text for name, text in environment().items() if name != "PYTHONPATH"}
        return {**inherited, **own, "TMPDIR": str(self.root / "tmp"), **variables}

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """One command of the image, to its end."""
        own = self.environment(**variables)
        return subprocess.run(
            [shutil.which(words[0], path=own["PATH"]) or words[0], *words[1:]],
            env=own,
            cwd=self.root / "tmp",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def files(self) -> Mapping[str, int]:
        """Every file of the image with its size, but for what is in /tmp."""
        return {
            str(path.relative_to(self.root)): path.stat().st_size
            for path in (self.root / "opt").rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Both stages, carried out."""
    root = tmp_path_factory.mktemp("image")
    workdir = BUILD.only("WORKDIR").rest
    for folder in ("tmp", "opt", workdir[1:]):
        (root / folder).mkdir()
    for each in BUILD.instructions:
        if each.word == "COPY":
            CONTEXT.copy(each, Path(below(root, workdir)))
        elif each.word == "RUN" and LOCK in each.words:
            found = sysconfig.get_path("purelib", "venv", {"base": str(root / "opt/bff")})
            (Path(found) / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
        elif each.word == "RUN":
            carry_out(each, root, workdir)
    shutil.rmtree(below(root, workdir))  # the second stage begins anew
    return Image(root)


def test_what_is_copied_is_there_and_is_sent() -> None:
    for each in BUILD.all("COPY"):
        for source in CONTEXT.sources(each):
            assert (ROOT / source).exists()
            assert CONTEXT.sent(source)
    (copied,) = FINAL.all("COPY")
    assert copied.words == [f"--from={BUILD.name}", "/opt/bff", "/opt/bff"]


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "deploy/compose/secrets/bff.toml", "tests/conftest.py"],
)
def test_nothing_else_is_sent(path: str) -> None:
    assert not CONTEXT.sent(path)
    assert not CONTEXT.sent("bff/__pycache__/app.cpython-311.pyc")


def test_everything_that_is_installed_has_a_hash() -> None:
    (locked,) = [each for each in BUILD.all("RUN") if LOCK in each.words]
    assert {"--require-hashes", "--only-binary"} <= set(locked.words)
    (own,) = [each for each in BUILD.all("RUN") if each.words[-1] == "."]
    assert {"--no-deps", "--no-build-isolation"} <= set(own.words)


def test_an_image_that_traces_has_the_same_and_what_tracing_needs() -> None:
    found = {}
    for name in ("requirements.txt", "requirements-otel.txt"):
        assert CONTEXT.sent(f"deploy/{name}")
        lines = (DEPLOY / name).read_text(encoding="utf-8")
        found[name] = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lines, re.MULTILINE))
    plain, traced = found["requirements.txt"], found["requirements-otel.txt"]
    assert plain.items() < traced.items()
    assert "opentelemetry-sdk" in traced.keys() - plain.keys()


def test_it_runs_as_nobody_in_particular() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", FINAL.only("USER").rest)
    assert FINAL.only("STOPSIGNAL").rest == "SIGTERM"
    for each in (*FINAL.all("ENTRYPOINT"), *FINAL.all("CMD"), *FINAL.all("RUN")):
        assert each.rest.startswith("["), "a shell would be the first process"
    both = {BUILD.base, FINAL.base}
    assert both == {"python:${PYTHON}"}
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim-\w+$", text, re.MULTILINE)
    labels = {label.partition("=")[0] for label in FINAL.only("LABEL").words}
    titles = ("title", "description", "version", "revision")
    assert labels == {f"org.opencontainers.image.{name}" for name in titles}
    assert compose()["services"]["gateway-a"]["image"] == f"bff:{__version__}"


def test_what_was_built_is_the_gateway_with_all_its_files(image: Image) -> None:
    asked = "import bff, sys; print(bff.__file__, sys.prefix)"
    told = image.run("python", "-c", asked)
    assert told.returncode == 0, told.stderr
    package, prefix = told.stdout.split()
    assert prefix == str(image.root / "opt/bff")
    assert package.startswith(prefix)
    installed = {
        str(path.relative_to(Path(package).parent))
        for path in Path(package).parent.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    own = {
        str(path.relative_to(ROOT / "bff"))
        for path in (ROOT / "bff").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert installed == own
    assert not (image.root / "opt/bff/bin/pip").exists()


def test_it_serves_is_found_healthy_and_stops(image: Image) -> None:
    before = image.files()
    port = str(free_port())
    variables = {"BFF_UPSTREAM": "http://127.0.0.1:9", "BFF_PORT": port, "BFF_HOST": "127.0.0.1"}
    own = image.environment(**variables)
    entry, *options = [*FINAL.only("ENTRYPOINT").words, *FINAL.only("CMD").words]
    program = shutil.which(entry, path=own["PATH"])
    assert program == str(image.root / "opt/bff/bin" / entry)
    check = Instruction("CMD", FINAL.only("HEALTHCHECK").rest.partition("CMD")[2].strip()).words

    def healthy() -> bool:
        return image.run(*check, **variables).returncode == 0

    assert not healthy()
    log = image.root / "tmp" / "output.log"
    with log.open("wb") as sink:
        served = subprocess.Popen(
            [program, *options], env=own, cwd=image.root / "tmp", stdout=sink, stderr=sink
        )
    try:
        until("the health check to pass", lambda: healthy() or served.poll() is not None)
        assert served.poll() is None, log.read_text()
        served.send_signal(getattr(signal, FINAL.only("STOPSIGNAL").rest))
        assert served.wait(20) == 0
    finally:
        served.kill()
        served.wait()
    assert not healthy()
    assert image.files() == before, "all that is written is in /tmp"
