"""Who is measured. A contender is a name, a start command, and what the command needs.

Any other gateway joins with ``--add FILE``, a TOML file with the fields of `Contender`:

    name = "litellm"
    command = ["/opt/litellm/bin/litellm", "--config", "{folder}/config.yaml", "--port", "{port}"]
    headers = { Authorization = "Bearer sk-bench-d41d8cd98f00b204e9800998ecf8427e" }
    exact = false

    [files]
    "config.yaml" = '''
    model_list:
      - model_name: gpt-4o-mini
        litellm_params:
          {model: openai/gpt-4o-mini, api_base: "{upstream}/v1", api_key: unused}
    general_settings: {master_key: sk-bench-d41d8cd98f00b204e9800998ecf8427e}
    '''

In `command`, `env`, `files` and `tls` these stand for what is only known at the start: {port} to
listen on, {upstream} (scheme, host and port of the mock), {upstream_address} (host and port),
{scheme}, {ca} (the certificate authority that signed the mock's certificate), {folder} (where
`files` are), {python}, {venv} (the folder of this Python's scripts), and {tls}.
"""

import shutil
import sys
import tomllib
from pathlib import Path

import msgspec


class Contender(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proxy to be measured."""

    name: str
    command: list[str]
    """Starts it in the foreground, listening on 127.0.0.1:{port}. Empty: the mock itself."""
    version: list[str] = []
    """Prints its version, on the first line that is not empty."""
    files: dict[str, str] = {}
    """Written before it starts: name -> text."""
    env: dict[str, str] = {}
    """Beside PATH, HOME and LANG; a variable whose value comes to nothing is not set."""
    headers: dict[str, str] = {}
    """Beside those that every request has."""
    path: str = "/v1/chat/completions"
    """Where it takes chat requests."""
    tls: str = ""
    """What {tls} stands for where the upstream is TLS; elsewhere it is empty."""
    exact: bool = True
    """It passes bytes on as they are. If not, its events are counted instead of compared."""
    workloads: list[str] = []
    """The only ones that it is measured with; empty: all."""
    spread: bool = False
    """Each of its child processes has a core of its own, one of them that of the load.

    Processes that take turns on a core empty each other's caches: that would be the figure.
    """
    ready_timeout: float = 20.0
    """Seconds from its start to its first answer."""


class Place(msgspec.Struct, frozen=True):
    """What the placeholders of a contender come to."""

    port: int
    upstream_port: int
    tls: bool
    ca: Path
    folder: Path

    def fill(self, contender: Contender, text: str) -> str:
        """`text` with its placeholders replaced."""
        scheme = "https" if self.tls else "http"
        address = f"127.0.0.1:{self.upstream_port}"
        values = {
            "{tls}": contender.tls if self.tls else "",
            "{port}": str(self.port),
            "{upstream}": f"{scheme}://{address}",
            "{upstream_address}": address,
            "{scheme}": scheme,
            "{ca}": str(self.ca),
            "{folder}": str(self.folder),
            "{python}": sys.executable,
            "{venv}": str(Path(sys.executable).parent),
        }
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return text


NGINX = """
daemon off;
master_process off;
error_log stderr error;
pid {folder}/nginx.pid;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 32m;
    client_body_buffer_size 512k;
    keepalive_requests 100000000;
    upstream mock {
        server {upstream_address};
        keepalive 1024;
        keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:{port} backlog=4096;
        location / {
            proxy_pass {scheme}://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
            {tls}
        }
    }
}
"""

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    http-reuse always
    option http-no-delay
frontend clients
    bind 127.0.0.1:{port} backlog 4096
    default_backend mock
backend mock
    server mock {upstream_address} {tls}
"""

OURS = """
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:0"
workers = 1

[provider.openai]
type = "openai"
url = "{upstream}/v1"
token = "env:BENCH_TOKEN"
{tls}

[[route]]
name = "chat"
models = ["gpt-*"]
targets = ["openai"]
"""

LIBRARIES = """
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "msgspec")), sep=", ")
"""

TWO_WORKERS = OURS.replace("workers = 1", "workers = 2")

TRANSLATING = """
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:0"

[provider.anthropic]
type = "anthropic"
url = "{upstream}"
token = "env:BENCH_TOKEN"

[[route]]
targets = ["anthropic/claude-sonnet-4-5"]
"""

DIRECT = Contender("direct", [])

BUILT_IN = (
    DIRECT,
    Contender(
        "nginx",
        ["nginx", "-e", "stderr", "-p", "{folder}", "-c", "{folder}/nginx.conf"],
        version=["nginx", "-v"],
        files={"nginx.conf": NGINX},
        tls="proxy_ssl_trusted_certificate {ca}; proxy_ssl_verify on; proxy_ssl_name localhost;"
        " proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;",
    ),
    Contender(
        "haproxy",
        ["haproxy", "-db", "-f", "{folder}/haproxy.cfg"],
        version=["haproxy", "-v"],
        files={"haproxy.cfg": HAPROXY},
        tls="ssl verify required ca-file {ca} sni str(localhost) verifyhost localhost"
        " ssl-min-ver TLSv1.3",
    ),
    Contender(
        "naive",
        ["{python}", "-m", "bench.naive", "{port}", "{upstream}"],
        version=["{python}", "-c", LIBRARIES],
        env={"SSL_CERT_FILE": "{tls}"},
        tls="{ca}",
    ),
    # Everything on that is on by default: routing, a token, metrics, a log line for each exchange.
    Contender(
        "ours",
        ["{venv}/llm-proxy", "serve", "-c", "{folder}/config.toml"],
        version=["{venv}/llm-proxy", "version", "--verbose"],
        files={"config.toml": OURS},
        env={"BENCH_TOKEN": "sk-bench-upstream"},
        tls='tls = { ca = "{ca}" }',
    ),
    # The same by two processes and their supervisor.
    Contender(
        "ours-2",
        ["{venv}/llm-proxy", "serve", "-c", "{folder}/config.toml"],
        files={"config.toml": TWO_WORKERS},
        env={"BENCH_TOKEN": "sk-bench-upstream"},
        tls='tls = { ca = "{ca}" }',
        workloads=["unary-2k", "start"],
        spread=True,
    ),
    Contender(
        "translating",
        ["{venv}/llm-proxy", "serve", "-c", "{folder}/config.toml"],
        files={"config.toml": TRANSLATING},
        env={"BENCH_TOKEN": "sk-bench-upstream"},
        exact=False,
        workloads=["lockstep"],
    ),
)


def load(file: Path) -> Contender:
    """The contender that a TOML file describes; raises ValueError."""
    try:
        return msgspec.convert(tomllib.loads(file.read_text()), Contender)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def missing(contender: Contender, place: Place) -> str | None:
    """The program that it needs and that is not here."""
    if not contender.command:
        return None
    program = place.fill(contender, contender.command[0])
    return None if shutil.which(program) else program
