"""What of each feature is lost between two APIs, and the document that says so.

``python -m tests.contract.matrix`` writes docs/compatibility.md; test_matrix.py proves every cell
of it, and that it is what this would write.
"""

from pathlib import Path

from tests.contract.clients import CLIENTS, Client
from tests.contract.features import FEATURES, Feature
from tests.contract.providers import PROVIDERS, Provider

TITLES = {
    "openai_chat": "OpenAI Chat",
    "openai_responses": "OpenAI Responses",
    "anthropic_messages": "Anthropic Messages",
    "gemini": "Gemini",
    "bedrock_converse": "Bedrock Converse",
}

_HEAD = """\
# Compatibility

Each SDK was pointed at the proxy, and the proxy at a provider of each API. Every cell is a test
(`tests/contract`), whole and streamed: the provider got what was asked, and the SDK understood
what was answered, usage and the reason for its end included. Where client and provider speak the
same API, bytes pass untouched.

✓ everything arrives · a word: everything but that, which the other API cannot say; it is dropped,
and named in `x-llm-proxy-dropped`, or refused where the route says `unsupported = "reject"`.
"""


def gap(feature: Feature, client: Client, provider: Provider) -> tuple[str, ...]:
    """The parameters of a feature that are lost on the way."""
    lost = []
    if feature.stop and "openai_responses" in (client.dialect, provider.dialect):
        lost.append("stop")
    return tuple(lost)


def document() -> str:
    """docs/compatibility.md."""
    lines = [_HEAD]
    for client in CLIENTS:
        lines.append(f"## Client: {client.name}\n")
        lines.append("| | " + " | ".join(TITLES[each.dialect] for each in PROVIDERS) + " |")
        lines.append("|---" * (len(PROVIDERS) + 1) + "|")
        rows = [*((feature.name, feature) for feature in FEATURES)]
        for name, feature in rows:
            cells = []
            for provider in PROVIDERS:
                lost = gap(feature, client, provider)
                cells.append(f"no {', '.join(lost)}" if lost else "✓")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        for name in ("rate limit is an error of the SDK", "broken stream is an error of the SDK"):
            lines.append(f"| {name} | " + " | ".join("✓" for _ in PROVIDERS) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    path = Path(__file__).parents[2] / "docs" / "compatibility.md"
    path.write_text(document(), "utf-8")
