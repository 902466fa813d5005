import socket
from pathlib import Path

import pytest

from proxy.cli import healthcheck, main

Answer = list[bytes] | OSError


class Connection:
    """A connection to a proxy that answers with these chunks, and then closes."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.sent = b""
        self.closed = False
        self.connected: object = None
        self._chunks = list(chunks)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def settimeout(self, seconds: float) -> None:
        assert 0 < seconds <= healthcheck.TIMEOUT

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, size: int) -> bytes:
        return self._chunks.pop(0)[:size] if self._chunks else b""

    def close(self) -> None:
        self.closed = True


class Network:
    """Where connections go, instead of anywhere: each gets `answer`."""

    def __init__(self) -> None:
        self.answer: Answer = [b"HTTP/1.1 200 OK\r\n\r\n"]
        self.asked: list[object] = []
        self.connections: list[Connection] = []

    def create_connection(self, address: tuple[str, int], timeout: float) -> Connection:
        assert timeout == healthcheck.TIMEOUT
        return self._connect(address)

    def socket(self, family: int) -> Connection:
        assert family == socket.AF_UNIX
        connection = Connection([])

        def connect(path: str) -> None:
            connection._chunks = self._connect(path)._chunks

        vars(connection)["connect"] = connect
        self.connections.append(connection)
        return connection

    def _connect(self, address: object) -> Connection:
        self.asked.append(address)
        if isinstance(self.answer, OSError):
            raise self.answer
        self.connections.append(Connection(self.answer))
        return self.connections[-1]


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Network:
    monkeypatch.chdir(tmp_path)
    for name in ("LLM_PROXY_CONFIG", "LLM_PROXY_CONFIG_TOML", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    network = Network()
    monkeypatch.setattr(socket, "create_connection", network.create_connection)
    monkeypatch.setattr(socket, "socket", network.socket)
    return network


def test_a_proxy_that_is_ready_is_healthy(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["healthcheck", "127.0.0.1:9999"]) == 0

    (connection,) = network.connections
    assert network.asked == [("127.0.0.1", 9999)]
    assert connection.sent.startswith(b"GET /readyz HTTP/1.1\r\nhost: ")
    assert connection.sent.endswith(b"\r\n\r\n")
    assert connection.closed
    assert capsys.readouterr() == ("", "")


def test_the_status_line_may_come_in_pieces(network: Network) -> None:
    network.answer = [b"HTTP", b"/1.1 2", b"00", b" OK\r", b"\nx: y"]

    assert main(["healthcheck", "127.0.0.1:9999"]) == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            [b"HTTP/1.1 503 Service Unavailable\r\n\r\n"],
            "127.0.0.1:9 answered 'HTTP/1.1 503 Service Unavailable'",
        ),
        ([b"HTTP/1.1 404 Not Found\r\n"], "127.0.0.1:9 answered 'HTTP/1.1 404 Not Found'"),
        ([b"HTTP/1.1 2000 OK\r\n"], "127.0.0.1:9 answered 'HTTP/1.1 2000 OK'"),
        ([b"SSH-2.0 200\r\n"], "127.0.0.1:9 answered 'SSH-2.0 200'"),
        ([], "127.0.0.1:9 answered ''"),
        (ConnectionRefusedError(111, "Connection refused"), "127.0.0.1:9: Connection refused"),
        (TimeoutError("timed out"), "127.0.0.1:9: no answer in time"),
        (OSError("odd"), "127.0.0.1:9: odd"),
    ],
)
def test_anything_else_is_not_ready_and_says_why_in_a_line(
    network: Network, answer: Answer, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network.answer = answer

    assert main(["healthcheck", "127.0.0.1:9"]) == 1
    assert capsys.readouterr() == ("", f"llm-proxy: not ready: {reason}\n")


def test_an_endless_status_line_ends(network: Network) -> None:
    network.answer = [b"x" * 100] * 1000

    assert main(["healthcheck", "127.0.0.1:9"]) == 1


def test_a_unix_socket_is_asked_too(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", "unix:/run/admin.sock"]) == 0
    assert network.asked == ["/run/admin.sock"]

    network.answer = FileNotFoundError(2, "No such file or directory")
    assert main(["healthcheck", "unix:/run/admin.sock"]) == 1
    assert network.connections[-1].closed
    assert capsys.readouterr().err == (
        "llm-proxy: not ready: unix:/run/admin.sock: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("0.0.0.0:9090", ("127.0.0.1", 9090)),
        ("[::]:9090", ("::1", 9090)),
        ("10.0.0.1:9091", ("10.0.0.1", 9091)),
        ("unix:/run/a.sock", "/run/a.sock"),
    ],
)
def test_without_an_address_it_asks_the_one_that_is_configured(
    network: Network, tmp_path: Path, listens: str, asked: object
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[server]\nadmin_listen = "{listens}"')

    assert main(["healthcheck", "-c", str(file)]) == 0
    assert network.asked == [asked]


def test_without_anything_it_asks_the_default(network: Network) -> None:
    assert main(["healthcheck"]) == 0
    assert network.asked == [("127.0.0.1", 9090)]


@pytest.mark.parametrize(
    ("listens", "problem"),
    [
        ("none", "nobody listens there (give ADDR)"),
        ("127.0.0.1:0", "port 0 is any port (give ADDR, with the one it became)"),
    ],
)
def test_where_nobody_can_be_asked_the_configuration_is_at_fault(
    network: Network,
    tmp_path: Path,
    listens: str,
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[server]\nadmin_listen = "{listens}"')

    assert main(["healthcheck", "-c", str(file)]) == 2
    assert capsys.readouterr().err == f"llm-proxy: {file}:2: [server.admin_listen]: {problem}\n"
    assert network.asked == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9999", "http://127.0.0.1:9999/"])
def test_the_address_may_be_the_url_that_the_proxy_says_when_it_is_ready(
    network: Network, url: str
) -> None:
    assert main(["healthcheck", url]) == 0
    assert network.asked == [("127.0.0.1", 9999)]


def test_another_scheme_is_bad_usage(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", "ftp://127.0.0.1:9999"]) == 2
    assert capsys.readouterr().err == (
        'llm-proxy: ADDR: expected "HOST:PORT", "[V6]:PORT", "unix:/path" or "fd:N", or http:// '
        "or https://\n"
    )
    assert network.asked == []


def test_an_address_that_is_none_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", "9090"]) == 2
    assert capsys.readouterr().err == (
        'llm-proxy: ADDR: expected "HOST:PORT", "[V6]:PORT", "unix:/path" or "fd:N", not "9090"\n'
    )
