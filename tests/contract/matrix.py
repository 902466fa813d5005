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
    "openai_completions": "OpenAI Completions",
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
and named in `x-llm-proxy-dropped`, or refused where the route says `unsupported = "reject"` ·
refused: the other API has no words for it, and the client gets an error that says so.
"""


def gap(feature: Feature, client: Client, provider: Provider) -> tuple[str, ...]:
    """The parameters of a feature that are lost on the way."""
    lost = []
    if feature.stop and "openai_responses" in (client.dialect, provider.dialect):
        lost.append("stop")
    if feature.effort and provider.dialect == "openai_completions":
        lost.append("reasoning")
    return tuple(lost)


def document() -> str:
    """docs/compatibility.md."""
    lines = [_HEAD]
    for client in CLIENTS:
        lines.append(f"## Client: {client.name}\n")
        lines.append("| | " + " | ".join(TITLES[each.dialect] for each in PROVIDERS) + " |")
        lines.append("|---" * (len(PROVIDERS) + 1) + "|")
        for feature in FEATURES:
            if feature.name not in client.lacks:
                cells = [_cell(feature, client, provider) for provider in PROVIDERS]
                lines.append(f"| {feature.name} | " + " | ".join(cells) + " |")
        for name in ("rate limit is an error of the SDK", "broken stream is an error of the SDK"):
            lines.append(f"| {name} | " + " | ".join("✓" for _ in PROVIDERS) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(feature: Feature, client: Client, provider: Provider) -> str:
    if feature.name in provider.lacks:
        return "refused"
    lost = gap(feature, client, provider)
    return f"no {', '.join(lost)}" if lost else "✓"


if __name__ == "__main__":
    path = Path(__file__).parents[2] / "docs" / "compatibility.md"
    path.write_text(document(), "utf-8")
