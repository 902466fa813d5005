"""The files of deploy/, held to what the program and systemd say of them."""

import re
import shlex
import subprocess
import textwrap
from argparse import ArgumentParser
from pathlib import Path

import pytest

from proxy.cli import serve
from proxy.config.load import Overrides, load

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = (DEPLOY / "llm-proxy.service").read_text("utf-8")
MANIFEST = (DEPLOY / "kubernetes.yaml").read_text("utf-8")


def check_command(command: list[str]) -> None:
    assert command[0].endswith("llm-proxy")
    assert command[1] == "serve"
    parser = ArgumentParser()
    serve.add_arguments(parser)
    assert parser.parse_args(command[2:]).config == "/etc/llm-proxy/config.toml"


def test_the_commands_are_the_programs_own() -> None:
    [line] = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    check_command(shlex.split(line))
    [listed] = re.findall(r"^ +command: \[(.*)\]$", MANIFEST, re.MULTILINE)
    check_command(listed.split(", "))


def test_the_configuration_of_the_manifest_can_be_loaded_and_ends_in_time(tmp_path: Path) -> None:
    block = MANIFEST.partition("  config.toml: |\n")[2].partition("---")[0]
    key = tmp_path / "openai"
    key.write_text("sk-1")
    text = textwrap.dedent(block).replace("/run/secrets/llm-proxy/openai", str(key))
    (tmp_path / "config.toml").write_text(text)
    loaded = load(str(tmp_path / "config.toml"), environ={}, overrides=Overrides())
    server = loaded.settings.server

    assert len(loaded.warnings) == 2
    assert all("whoever can reach 0.0.0.0" in warning for warning in loaded.warnings)
    [grace] = re.findall(r"terminationGracePeriodSeconds: (\d+)", MANIFEST)
    assert server.drain_delay + server.drain_timeout + 2 < int(grace)
    ports = re.findall(r"containerPort: (\d+)", MANIFEST)
    assert [str(server.listen[0]), str(server.admin_listen)] == [
        f"0.0.0.0:{port}" for port in ports
    ]


@pytest.mark.needs("systemd-analyze")
def test_systemd_knows_every_word_of_the_units(tmp_path: Path) -> None:
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    unit = UNIT.replace("/opt/llm-proxy/bin/llm-proxy", "/bin/true")
    if int(version.stdout.split()[1]) < 253:
        unit = unit.replace("Type=notify-reload", "Type=notify\nExecReload=/bin/kill -HUP $MAINPID")
    (tmp_path / "llm-proxy.service").write_text(unit)
    socket = (DEPLOY / "llm-proxy.socket").read_text("utf-8")
    (tmp_path / "llm-proxy.socket").write_text(socket)
    paths = [str(tmp_path / f"llm-proxy.{kind}") for kind in ("service", "socket")]
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in said.stderr.splitlines() if "llm-proxy" in line]
    assert about_ours == []
