"""What is generated and kept in the repository is what would be generated now."""

from pathlib import Path

import pytest

from proxy.config.document import configuration, documents, main, providers
from proxy.config.provider import ProviderConfig
from proxy.config.section import keys
from proxy.config.sections import Document, RouteConfig
from proxy.preset import presets
from proxy.registry import names

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "name",
    ["config.toml", "docs/configuration.md", "docs/providers.md", "docs/config.schema.json"],
)
def test_what_is_kept_is_what_is_generated(name: str) -> None:
    assert set(documents()) == {
        "config.toml",
        "docs/configuration.md",
        "docs/providers.md",
        "docs/config.schema.json",
    }
    assert (ROOT / name).read_text("utf-8") == documents()[name], (
        "python -m proxy.config.document writes it anew"
    )


def test_every_section_every_type_and_every_key_is_described() -> None:
    text = configuration()

    for section in keys(Document):
        assert f"`[{section}" in text or f"`[[{section}" in text or f"`{section} =" in text
    for kind in (*names("processors"), "mock"):
        assert f'### `type = "{kind}"`' in text
    for kind in names("tokens"):
        assert f"### `{kind}`" in text
    for kind, row in presets().items():
        assert f"`{kind}`" in text
        assert f"| {row.title} |" in providers()
    for struct in (ProviderConfig, RouteConfig):
        for name, key in keys(struct).items():
            assert f"| `{name}` | " in text
            assert key.description.replace("|", "\\|") in text


def test_it_writes_into_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proxy" / "config").mkdir(parents=True)
    (tmp_path / "proxy" / "config" / "document.py").touch()
    monkeypatch.chdir(tmp_path)

    assert main() == 0
    for name, text in documents().items():
        assert (tmp_path / name).read_text("utf-8") == text


def test_it_writes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main() == 2
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == (
        "llm-proxy: the current folder is no checkout of llm-proxy\n"
    )
