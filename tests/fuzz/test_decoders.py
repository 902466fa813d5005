"""Whatever bytes come, a decoder reads them or raises its own error, and nothing else.

Each decoder is fed mutations of good input for FUZZ_SECONDS. `make fuzz` sets them, and draws a
new seed each time; a failure names the seed, and FUZZ_SEED plays it again.
"""

import contextlib
import gc
import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.chat import Chat, Embedding, Omissions, Quirks, Rendering
from proxy.config.source import parse
from proxy.dialect import Dialect
from proxy.dialects._bedrock.frames import event_frame as message
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.dialects.bedrock_embeddings import BedrockEmbeddings
from proxy.dialects.bedrock_messages import BedrockMessages
from proxy.dialects.cohere_embeddings import CohereEmbeddings
from proxy.dialects.gemini import GeminiGenerate
from proxy.dialects.gemini_count_tokens import GeminiCountTokens
from proxy.dialects.gemini_embed_content import GeminiEmbedContent
from proxy.dialects.gemini_embeddings import GeminiEmbeddings
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.vertex_embeddings import VertexEmbeddings
from proxy.errors import ConfigError, ProxyError
from proxy.framing import FramingError
from proxy.framing.aws_eventstream import EventStreamDecoder
from proxy.framing.chunked import ChunkedDecoder
from proxy.framing.envelope import parse_envelope
from proxy.framing.head import body_length, keeps_alive, parse_response_head
from proxy.framing.sse import FrameSplitter, parse_frame
from proxy.framing.usage import UsageStrip, UsageWatch

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0.3"))
_DRAWN = time.time_ns() % 2**32 if "FUZZ_SECONDS" in os.environ else 0
SEED = int(os.environ.get("FUZZ_SEED", _DRAWN))

_HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5, 5\r\n\r\n",
]
_CHUNKED = [
    b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nx: y\r\n\r\n",
    b"1\r\n\n\r\nA\r\n0\r\n\r\n--\r\n0\r\n\r\n",
]
_STREAMS = [
    b'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}\n\ndata: [DONE]\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\r\n\r\n: ping\r\n\r\n',
    b'event: response.completed\rdata: {"response":{"usage":{"input_tokens":1}}}\r\rdata: x\r\r',
    b'data: {"error":{"message":"no","type":"server_error"}}\n\n',
]
_CHATS = [
    b'data: {"id":"r","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":'
    b'"f","arguments":"{"}}]}}]}\n\ndata: {"choices":[{"delta":{"reasoning_details":[{"signature":'
    b'"s"}]},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[{"index":1,"delta":{"content":[{"thinking":[{"text":"h"}]}]},"logprobs":'
    b'{"content":[{"token":"a","logprob":-1}]}}],"x_groq":{"usage":{"prompt_tokens":1}}}\n\n',
]
_CHAT_ANSWERS = [
    b'{"choices":[{"message":{"content":"a","annotations":[{"url_citation":{"url":"u"}}],"images":'
    b'[{"image_url":{"url":"data:image/png;base64,A"}}]},"finish_reason":"length"}]}',
]
_CHAT_REQUESTS = [
    b'{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":'
    b'"text","text":"b"},{"type":"image_url","image_url":{"url":"data:image/png;base64,A"}}]}],'
    b'"tools":[{"type":"function","function":{"name":"f"}}],"stop":["a"]}',
    b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f",'
    b'"arguments":""}}],"reasoning_details":[{"signature":"~gemini~s"}]},{"role":"tool",'
    b'"tool_call_id":"c","content":"x"}],"response_format":{"type":"json_object"}}',
]
_COMPLETIONS = [
    b'data: {"id":"r","choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-1],'
    b'"top_logprobs":[{"a":-1}],"text_offset":[0]}}]}\n\ndata: {"choices":[{"text":"","index":1,'
    b'"finish_reason":"stop","stop_reason":1}]}\n\n',
]
_COMPLETIONS_ANSWERS = [
    b'{"choices":[{"text":"a","logprobs":{"content":[{"token":"a","logprob":-1}]},"finish_reason":'
    b'"length"}],"usage":{"prompt_tokens":1}}',
]
_COMPLETIONS_REQUESTS = [
    b'{"model":"m","prompt":["a"],"logprobs":2,"best_of":2,"n":2,"stop":"a","echo":true}',
    b'{"model":"m","prompt":[[1,2],[3]],"suffix":"b","stream_options":{"include_usage":true}}',
]
_GEMINI = [
    b'data: {"candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":"QQ=="},{"text":"b",'
    b'"thought":true},{"executableCode":{"code":"1"}}],"role":"model"},"index":0}]}\r\n\r\ndata: '
    b'{"candidates":[{"finishReason":"STOP","logprobsResult":{"chosenCandidates":[{"token":"a"}]}}'
    b'],"usageMetadata":{"promptTokenCount":1}}\r\n\r\n',
    b'[{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"}]\\""}}}]},'
    b'"finishReason":1}]}\n,\r\n{"promptFeedback":{"blockReason":"SAFETY"}}\n]',
    b'data: {"error":{"code":503,"details":[{"@type":"RetryInfo","retryDelay":"1s"}]}}\n\n',
]
_GEMINI_ANSWERS = [
    b'{"candidates":[{"content":{"parts":[{"text":"\xc3\xa9"},{"inlineData":{"mimeType":"image/png",'
    b'"data":"_-"}}]},"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],'
    b'"groundingSupports":[{"segment":{"endIndex":2,"text":"x"},"groundingChunkIndices":[0]}]},'
    b'"finishReason":"OTHER"}],"createTime":"2025-09-12T08:15:49Z"}',
]
_GEMINI_REQUESTS = [
    b'{"contents":[{"role":"model","parts":[{"function_call":{"name":"f"},"thought_signature":"QQ"}]'
    b'},{"parts":{"functionResponse":{"name":"f","response":{"output":"x"}}}}],"generationConfig":'
    b'{"responseSchema":{"type":"OBJECT","properties":{"a":{"type":1,"nullable":true}}},"topK":"4"}}',
    b'{"contents":{"parts":[{"inlineData":{"mimeType":"image/png","data":"A"}},{"text":"a","thought":'
    b'true}]},"tools":[{"functionDeclarations":[{"name":"f","parameters":{}}],"googleSearch":{}}],'
    b'"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"systemInstruction":"s"}',
]
_EMBEDDINGS = [
    b'{"data":[{"embedding":[0.5,1],"index":1},{"embedding":"AAAAPw==","index":0}],"usage":{}}',
    b'{"embeddings":[{"values":[1e400]}],"embedding":{"values":[1]},"usageMetadata":{}}',
    b'{"embeddings":{"float":[[1]]},"meta":{"billed_units":{"input_tokens":1}}}',
    b'{"embedding":[1],"inputTextTokenCount":2}',
    b'{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":1.5}}}]}',
]
_EMBEDDING_REQUESTS = [
    b'{"model":"m","input":[[1,2],"a"],"dimensions":3,"encoding_format":"base64"}',
    b'{"model":"m","input":"a","content":{"parts":[{"text":"a"}]},"taskType":"CLUSTERING"}',
    b'{"requests":[{"content":{"parts":{"text":"a"}},"outputDimensionality":"2"}]}',
]
_EMBEDDERS: list[Dialect] = [
    *(OpenAIEmbeddings(), GeminiEmbeddings(), GeminiEmbedContent()),
    *(CohereEmbeddings(), BedrockEmbeddings(), VertexEmbeddings()),
]
_RESPONSES = [
    b'event: response.output_item.added\ndata: {"type":"response.output_item.added","output_index":'
    b'1,"item":{"type":"function_call","call_id":"c","name":"f"}}\n\ndata: {"type":"response.'
    b'function_call_arguments.delta","output_index":1,"delta":"{"}\n\n',
    b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":'
    b'"r","summary":[{"text":"a"}],"encrypted_content":"e"}}\n\ndata: {"type":"response.completed",'
    b'"response":{"status":"incomplete","output":[{"type":"x"}],"usage":{"input_tokens":1}}}\n\n',
]
_RESPONSES_ANSWERS = [
    b'{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"a",'
    b'"annotations":[{"url":"u"}]}]},{"type":"web_search_call"}],"usage":{"input_tokens":1}}',
]
_RESPONSES_REQUESTS = [
    b'{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":'
    b'"reasoning","id":"r","summary":[],"encrypted_content":"~gemini~s"},{"type":"function_call",'
    b'"call_id":"c","name":"f"},{"type":"function_call_output","call_id":"c","output":"x"}],'
    b'"tools":[{"type":"custom","name":"f","format":{"type":"grammar"}}],"include":["x"]}',
]
_ASK = Chat(model="m", messages=[])
_REQUESTS = [
    b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}',
    b'{"messages":[{"role":"user","content":"\\ud83d\\ude00 \xc3\xa9"}],"model":"x","n":1e3}',
]
_ANTHROPIC_STREAMS = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":'
    b'{"input_tokens":3,"cache_read_input_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
    b'{"type":"tool_use","id":"a","name":"f","input":{}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    b'{"type":"input_json_delta","partial_json":"{}"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use"},'
    b'"usage":{"output_tokens":4}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":'
    b'{"type":"server_tool_use","id":"s"}}\n\nevent: error\ndata: {"type":"error","error":'
    b'{"type":"overloaded_error","message":"no"}}\n\n',
]
_ANTHROPIC_ANSWERS = [
    b'{"id":"m","type":"message","content":[{"type":"text","text":"a","citations":[{"url":"u"}]},'
    b'{"type":"thinking","thinking":"h","signature":"s"},{"type":"tool_use","id":"a","name":"f",'
    b'"input":{"n":1}}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}',
]
_ANTHROPIC_REQUESTS = [
    b'{"model":"m","max_tokens":1,"system":[{"type":"text","text":"a","cache_control":{}}],'
    b'"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":'
    b'{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x"}]}],'
    b'"tools":[{"name":"f","input_schema":{}}],"thinking":{"type":"adaptive"},"stream":true}',
]
_ERRORS = [b'{"error":{"message":"bad","type":"x","param":null,"code":"context_length_exceeded"}}']
_TOML = [
    b'[server]\nlisten = ["127.0.0.1:0"]\n[provider."a.b"]\ntype = """x\ny"""\n',
    b"[[route]]\nmodels = ['a', \"b\"]\nb = {c = 1}\n",
]
_PIECES = (
    b"\r\n",
    b"\n\n",
    b"\r",
    b"\x00",
    b"\xff",
    b'"usage":',
    b"{",
    b"}",
    b"[",
    b'"',
    b"0\r\n\r\n",
    b":",
    b"data: ",
)


def _head(data: bytes) -> None:
    head = parse_response_head(data)
    body_length(head, "POST")
    keeps_alive(head)


def _sse(data: bytes) -> None:
    splitter = FrameSplitter(max_frame=4096)
    for frame in splitter.feed(data):
        parse_frame(frame)
    splitter.close()


def _usage(data: bytes) -> None:
    for watch in (UsageWatch(), UsageStrip()):
        middle = len(data) // 2
        watch.feed(data[:middle])
        watch.feed(data[middle:])
        watch.close()


def _request(data: bytes) -> None:
    request = parse_envelope(data)
    OpenAIChat().ask_usage(request)
    request.body()


def _stream_of(dialect: Dialect) -> Callable[[bytes], object]:
    def translate(data: bytes) -> None:
        decoder = dialect.decoder()
        middle = len(data) // 2
        events = [*decoder.feed(data[:middle]), *decoder.feed(data[middle:]), *decoder.close()]
        dialect.encoder(_ASK).feed(events)

    return translate


def _answer_of(dialect: Dialect) -> Callable[[bytes], object]:
    return lambda data: dialect.encode(_ASK, dialect.decode(data))


def _request_of(dialect: Dialect) -> Callable[[bytes], object]:
    def translate(data: bytes) -> None:
        chat = dialect.read(dialect.parse(data))
        omissions = Omissions(dialect.name, reject=False)
        dialect.render(chat, Rendering(model="m", omissions=omissions))

    return translate


def _gemini(data: bytes) -> None:
    dialect = GeminiGenerate()
    decoder = dialect.decoder()
    middle = len(data) // 2
    events = [*decoder.feed(data[:middle]), *decoder.feed(data[middle:]), *decoder.close()]
    for array in (False, True):
        dialect.encoder(Chat(model="m", messages=[], array=array)).feed(events)


def _gemini_answer(data: bytes) -> None:
    GeminiGenerate().encode(_ASK, GeminiGenerate().decode(data))


def _gemini_request(data: bytes) -> None:
    for dialect, method in (
        (GeminiGenerate(), "generateContent"),
        (GeminiCountTokens(), "countTokens"),
    ):
        chat = dialect.read(dialect.parse(data, f"/v1beta/models/m:{method}"))
        omissions = Omissions("fuzz", reject=False)
        dialect.render(chat, Rendering(model="m", omissions=omissions))


def _embedding(data: bytes) -> None:
    ask = Embedding(model="m", inputs=["a"], base64=True)
    for dialect in _EMBEDDERS:
        with contextlib.suppress(ProxyError):
            events = dialect.decode(data)
            for other in _EMBEDDERS[:3]:
                with contextlib.suppress(ProxyError):
                    other.encode(ask, events)


def _embedding_request(data: bytes) -> None:
    methods = ("", "/v1/models/m:batchEmbedContents", "/v1/models/m:embedContent")
    for dialect, path in zip(_EMBEDDERS[:3], methods, strict=True):
        with contextlib.suppress(ProxyError):
            ask = dialect.read(dialect.parse(data, path))
            for other in _EMBEDDERS:
                omissions = Omissions("fuzz", reject=False)
                with contextlib.suppress(ProxyError):
                    other.render(ask, Rendering(model="cohere.embed", omissions=omissions))


def _refusal(data: bytes) -> None:
    for dialect in (
        OpenAIChat(),
        OpenAICompletions(),
        OpenAIResponses(),
        AnthropicMessages(),
        GeminiGenerate(),
    ):
        dialect.refusal(400, data)
        dialect.failure(data)


_CHAT = Chat(model="m", messages=[])


def _anthropic_stream(data: bytes) -> None:
    dialect = AnthropicMessages()
    decoder, encoder = dialect.decoder(), dialect.encoder(_CHAT)
    middle = len(data) // 2
    for piece in (data[:middle], data[middle:]):
        encoder.feed(decoder.feed(piece))
    encoder.feed(decoder.close())
    encoder.close()


def _anthropic_answer(data: bytes) -> None:
    dialect = AnthropicMessages()
    dialect.encode(_CHAT, dialect.decode(data))


def _anthropic_request(data: bytes) -> None:
    dialect = AnthropicMessages()
    chat = dialect.read(dialect.parse(data))
    for origin in (chat.origin, "another"):
        chat.origin = origin
        omissions = Omissions(dialect.name, reject=False)
        dialect.render(chat, Rendering(model="m", omissions=omissions))


def _converse(data: bytes) -> None:
    decoder = BedrockConverse().decoder()
    middle = len(data) // 2
    events = [*decoder.feed(data[:middle]), *decoder.feed(data[middle:]), *decoder.close()]
    BedrockConverse().encoder(_ASK).feed(events)


def _converse_answer(data: bytes) -> None:
    BedrockConverse().encode(_ASK, BedrockConverse().decode(data))


_CONVERSES = [
    message("messageStart", {"role": "assistant"})
    + message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}})
    + message("messageStop", {"stopReason": "end_turn"}),
    message("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
]
_CONVERSE_ANSWERS = [
    b'{"output":{"message":{"content":[{"text":"a"},{"toolUse":{"toolUseId":"c","name":"f",'
    b'"input":{"n":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":2}}'
]

_CHUNKS = [
    b"".join(
        message("chunk", {"bytes": parse_frame(frame).data})
        for frame in FrameSplitter().feed(stream)
    )
    for stream in _ANTHROPIC_STREAMS
]
_BEDROCK_REQUESTS = [
    b'{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a"],"max_tokens":1,"messages":'
    b'[{"role":"user","content":[{"type":"text","text":"a"}]}],"thinking":{"type":"adaptive"}}',
]


def _bedrock_request(data: bytes) -> None:
    dialect = BedrockMessages()
    parse_envelope(data)  # what no client can send, nobody reads
    chat = dialect.read(dialect.parse(data, "/model/m/invoke"))
    chat.betas = ["a"]
    omissions = Omissions(dialect.name, reject=False)
    quirks = Quirks(betas=("a",))
    dialect.render(chat, Rendering(model="m", omissions=omissions, quirks=quirks))


def _claudes_frames(data: bytes) -> None:
    """The events themselves are garbled, and the frames around them are whole."""
    for frame in FrameSplitter().feed(data[:4096]):
        decoder = BedrockMessages().decoder()
        events = decoder.feed(message("chunk", {"bytes": parse_frame(frame).data}))
        BedrockMessages().encoder(_ASK).feed(events)


DECODERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "response head": (_head, _HEADS),
    "chunked body": (lambda data: ChunkedDecoder().feed(data), _CHUNKED),
    "server-sent events": (_sse, _STREAMS),
    "usage": (_usage, _STREAMS),
    "request": (_request, _REQUESTS),
    "converse stream": (_converse, _CONVERSES),
    "converse answer": (_converse_answer, _CONVERSE_ANSWERS),
    "event stream": (lambda data: EventStreamDecoder().feed(data), _CONVERSES),
    "chat stream": (_stream_of(OpenAIChat()), _STREAMS + _CHATS),
    "chat answer": (_answer_of(OpenAIChat()), _CHAT_ANSWERS),
    "chat request": (_request_of(OpenAIChat()), _CHAT_REQUESTS),
    "responses stream": (_stream_of(OpenAIResponses()), _STREAMS + _RESPONSES),
    "responses answer": (_answer_of(OpenAIResponses()), _RESPONSES_ANSWERS),
    "responses request": (_request_of(OpenAIResponses()), _RESPONSES_REQUESTS),
    "completions stream": (_stream_of(OpenAICompletions()), _STREAMS + _COMPLETIONS),
    "completions answer": (_answer_of(OpenAICompletions()), _COMPLETIONS_ANSWERS),
    "completions request": (_request_of(OpenAICompletions()), _COMPLETIONS_REQUESTS),
    "anthropic stream": (_anthropic_stream, _ANTHROPIC_STREAMS),
    "anthropic answer": (_anthropic_answer, _ANTHROPIC_ANSWERS),
    "anthropic request": (_anthropic_request, _ANTHROPIC_REQUESTS),
    "Claude on Bedrock stream": (_stream_of(BedrockMessages()), _CHUNKS),
    "Claude on Bedrock event": (_claudes_frames, _ANTHROPIC_STREAMS),
    "Claude on Bedrock answer": (_answer_of(BedrockMessages()), _ANTHROPIC_ANSWERS),
    "Claude on Bedrock request": (_bedrock_request, _BEDROCK_REQUESTS),
    "Gemini stream": (_gemini, _STREAMS + _GEMINI),
    "Gemini answer": (_gemini_answer, _GEMINI_ANSWERS),
    "Gemini request": (_gemini_request, _GEMINI_REQUESTS),
    "embedding answer": (_embedding, _EMBEDDINGS),
    "embedding request": (_embedding_request, _EMBEDDING_REQUESTS),
    "refusal": (_refusal, _ERRORS + _STREAMS),
    "configuration": (lambda data: parse(data.decode("utf-8", "replace"), "fuzz"), _TOML),
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_raises_nothing_but_its_own_error(name: str) -> None:
    decode, corpus = DECODERS[name]
    tried = 0
    for data in _mutations(corpus, random.Random(SEED)):
        tried += 1
        try:
            decode(data)
        except (FramingError, ProxyError, ConfigError):
            pass
        except Exception as error:
            pytest.fail(f"{name} raised {error!r} for {data!r} (FUZZ_SEED={SEED})")
    assert tried > 100


@pytest.mark.parametrize("name", DECODERS)
def test_what_a_decoder_failed_at_can_be_forgotten(name: str) -> None:
    """An error whose traceback leads back to it is for the collector to see."""
    decode, corpus = DECODERS[name]

    def fail() -> int:
        for data in (*corpus, *(sample[: len(sample) // 2] + b"\xff{" for sample in corpus)):
            with contextlib.suppress(FramingError, ProxyError, ConfigError):
                decode(data)
        gc.collect()
        return sum(isinstance(each, (FramingError, ProxyError)) for each in gc.get_objects())

    gc.freeze()  # what was there before is not looked through each time
    try:
        assert fail() == fail()
    finally:
        gc.unfreeze()


def _mutations(corpus: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Cut, doubled, spliced and overwritten samples, until the time is over."""
    end = time.monotonic() + SECONDS
    kept = list(corpus)
    while time.monotonic() < end:
        data = bytearray(rng.choice(kept))
        for _ in range(rng.randint(1, 6)):
            at = rng.randint(0, len(data))
            to = min(len(data), at + rng.randint(0, 8))
            data[at:to] = rng.choice(
                (
                    rng.choice(_PIECES),
                    rng.randbytes(rng.randint(0, 4)),
                    bytes(data[to : to + 16]) * 2,
                )
            )
        sample = bytes(data[:4096])
        if rng.random() < 0.02 and len(kept) < 500:
            kept.append(sample)
        yield sample
