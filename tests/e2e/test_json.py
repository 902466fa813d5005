"""A conformance suite for JSON, through the whole proxy: as bodies, and as values of fields.

The kinds are those of the field's suites: `n` must be refused, `y` must be accepted and reach the
provider byte for byte, `i` may be either but never worse (RFC 8259).
"""

from collections.abc import Iterator, Mapping

import msgspec

from proxy.testing import RawClient, request
from tests.e2e.conftest import CHAT, Answer, Scenes, read_answer, read_error

BOTH = ("client.bad_json", "client.bad_request")

N_VALUES: dict[str, bytes] = {
    # Numbers.
    "leading zero": b"01",
    "negative leading zero": b"-01",
    "two zeros": b"00",
    "plus": b"+1",
    "minus": b"-",
    "double minus": b"--1",
    "minus and space": b"- 1",
    "plus minus": b"+-1",
    "point first": b".5",
    "point last": b"1.",
    "minus point": b"-.5",
    "two points": b"1.2.3",
    "point exponent": b"1.e1",
    "empty exponent": b"1e",
    "signed empty exponent": b"1e+",
    "two exponents": b"1e2e3",
    "exponent with point": b"1e2.5",
    "hexadecimal": b"0x1F",
    "octal": b"0o17",
    "binary": b"0b1",
    "underscore": b"1_000",
    "comma in number": b"1,000",
    "space in number": b"1 000",
    "letter behind": b"1a",
    "long suffix": b"1L",
    "NaN": b"NaN",
    "nan": b"nan",
    "minus NaN": b"-NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "inf": b"inf",
    "full-width digit": b"\xef\xbc\x91",
    "superscript digit": b"1\xc2\xb2",
    "imaginary": b"1j",
    # Literals.
    "True": b"True",
    "TRUE": b"TRUE",
    "tru": b"tru",
    "truee": b"truee",
    "nul": b"nul",
    "None": b"None",
    "undefined": b"undefined",
    "bare word": b"word",
    "bare non-ASCII word": "é".encode(),
    # Strings.
    "single quotes": b"'x'",
    "typographic quotes": "“x”".encode(),
    "backquotes": b"`x`",
    "unterminated": b'"x',
    "unopened": b'x"',
    "only a quote": b'"',
    "quote in string": b'"a"b"',
    "raw NUL": b'"\x00"',
    "raw tab": b'"\t"',
    "raw line feed": b'"\n"',
    "raw carriage return": b'"\r"',
    "raw escape": b'"\x1b"',
    "raw unit separator": b'"\x1f"',
    "unknown escape": rb'"\x41"',
    "escaped letter": rb'"\a"',
    "escaped quote": rb'"\'"',
    "escaped zero": rb'"\0"',
    "escaped line end": b'"\\\n"',
    "escaped non-ASCII": '"\\é"'.encode(),
    "big U": rb'"\U00000041"',
    "short unicode escape": rb'"\u00A"',
    "no digits in unicode escape": rb'"\u"',
    "bad digit in unicode escape": rb'"\u00G0"',
    "signed unicode escape": rb'"\u+041"',
    "braced unicode escape": rb'"\u{41}"',
    "escape at the end": b'"\\"',
    "lone high surrogate": rb'"\ud800"',
    "lone high surrogate and text": rb'"\ud800abcdef"',
    "lone high surrogate and escape": rb'"\ud800\n"',
    "lone low surrogate": rb'"\udc00"',
    "reversed surrogates": rb'"\udc00\ud800"',
    "two high surrogates": rb'"\ud800\ud800"',
    "high surrogate and letter": rb'"\ud800\u0041"',
    "half a low surrogate": rb'"\ud800\udc"',
    "raw surrogate": b'"\xed\xa0\x80"',
    "invalid byte": b'"\xff"',
    "continuation byte": b'"\x80"',
    "truncated sequence": b'"\xe2\x82"',
    "overlong slash": b'"\xc0\xaf"',
    "overlong NUL": b'"\xc0\x80"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "five bytes": b'"\xf8\x88\x80\x80\x80"',
    "Latin-1": b'"\xe9"',
    "invalid byte among ASCII": b'"' + b"a" * 1000 + b"\xff" + b"a" * 1000 + b'"',
    # Arrays.
    "trailing comma": b"[1,]",
    "leading comma": b"[,1]",
    "only a comma": b"[,]",
    "two commas": b"[1,,2]",
    "no comma": b"[1 2]",
    "colon for comma": b"[1:2]",
    "semicolon": b"[1;2]",
    "unclosed array": b"[1",
    "array closed as object": b"[1}",
    "array closed twice": b"[1]]",
    "unclosed inner array": b"[[1]",
    "newline in nothing": b"[\n",
    "ellipsis": b"[1,...]",
    "tuple": b"(1,2)",
    "set": b"{1,2}",
    # Objects.
    "trailing comma in object": b'{"a":1,}',
    "leading comma in object": b'{,"a":1}',
    "two commas in object": b'{"a":1,,"b":2}',
    "no colon": b'{"a" 1}',
    "two colons": b'{"a"::1}',
    "equals": b'{"a"=1}',
    "arrow": b'{"a"=>1}',
    "comma for colon": b'{"a",1}',
    "no value": b'{"a":}',
    "no name": b"{:1}",
    "bare name": b"{a:1}",
    "single quoted name": b"{'a':1}",
    "number as name": b"{1:1}",
    "null as name": b"{null:1}",
    "array as name": b"{[]:1}",
    "object in object": b"{{}}",
    "name without end": b'{"a',
    "unclosed object": b'{"a":1',
    "object closed as array": b'{"a":1]',
    "object closed twice": b'{"a":1}}',
    "invalid byte in a name": b'{"\xff":1}',
    "lone surrogate in a name": rb'{"\ud800":1}',
    "raw line feed in a name": b'{"a\nb":1}',
    # What other languages allow.
    "line comment": b"1 // one\n",
    "block comment": b"/* one */ 1",
    "hash comment": b"1 # one\n",
    "form feed": b"\x0c1",
    "vertical tab": b"\x0b1",
    "no-break space": b"\xc2\xa01",
    "ideographic space": b"\xe3\x80\x801",
    "zero-width space": b"\xe2\x80\x8b1",
    "line separator": b"\xe2\x80\xa81",
    "byte order mark": b"\xef\xbb\xbf1",
    "NUL": b"\x001",
    "markup": b"<null/>",
    "percent": b"%31",
    "nothing": b"",
    "space": b" ",
    # Depth.
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep and open": b"[" * 100_000,
    "deep, mixed": b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000,
}

Y_VALUES: dict[str, bytes] = {
    # Numbers.
    "zero": b"0",
    "minus zero": b"-0",
    "one": b"1",
    "1.0": b"1.0",
    "trailing zeros": b"1.50000",
    "minus zero point zero": b"-0.0",
    "exponent": b"1e5",
    "capital exponent": b"1E5",
    "signed exponent": b"1e+05",
    "negative exponent": b"1E-05",
    "zero exponent": b"0e0",
    "fraction and exponent": b"123.456e-78",
    "2**53+1": b"9007199254740993",
    "2**63": b"9223372036854775808",
    "2**64": b"18446744073709551616",
    "-2**63-1": b"-9223372036854775809",
    "a hundred digits": b"1234567890" * 10,
    "many decimals": b"0." + b"1234567890" * 10,
    "nearly zero": b"-0." + b"0" * 80 + b"1",
    "the longest double": b"2.2250738585072011e-308",
    # Literals.
    "true": b"true",
    "false": b"false",
    "null": b"null",
    # Strings.
    "empty": b'""',
    "letters": b'"abc"',
    "each escape": rb'"\"\\\/\b\f\n\r\t"',
    "unicode escapes": rb'"\u0041\u00e9\u65e5"',
    "escapes in both cases": rb'"\u00E9\u00e9\u00Ab"',
    "escaped controls": rb'"\u0000\u001f\u007f"',
    "escaped surrogate pair": rb'"\ud83d\ude00"',
    "the last pair": rb'"\udbff\udfff"',
    "pairs in a row": rb'"\ud83d\ude00\ud83d\ude01"',
    "escaped noncharacter": rb'"\uffff\ufffe\ufdd0"',
    "escaped separators": rb'"\u2028\u2029"',
    "raw separators": '"\u2028\u2029"'.encode(),
    "two bytes": '"é"'.encode(),
    "three bytes": '"日本"'.encode(),
    "four bytes": '"😀"'.encode(),
    "the last code point": b'"\xf4\x8f\xbf\xbf"',
    "raw noncharacter": b'"\xef\xbf\xbf"',
    "DEL": b'"\x7f"',
    "a mark inside": b'"\xef\xbb\xbf"',
    "combining": '"é"'.encode(),
    "right to left": '"\u202eabc"'.encode(),
    "slashes": b'"/a/b//c"',
    "what looks like JSON": rb'"{\"model\":\"other\",\"stream\":true}"',
    "what looks like usage": rb'"\"usage\":{\"prompt_tokens\":1}"',
    "what looks like an event": rb'"data: [DONE]\n\n"',
    "what looks like a comment": b'"/* */ // #"',
    "long": b'"' + b"x" * 100_000 + b'"',
    # Arrays and objects.
    "empty array": b"[]",
    "empty object": b"{}",
    "spaced empty array": b"[ \t\r\n ]",
    "spaced empty object": b"{ \t\r\n }",
    "spaced array": b" [ 1 ,\r\n\t2 ] ",
    "spaced object": b' { "a" : 1 ,\n"b":2 } ',
    "mixed": b'[null,true,0,-1.5e3,"x",[],{}]',
    "nested": b'{"a":{"b":[{"c":[[[]]]}]}}',
    "empty name": b'{"":0}',
    "names that are equal": b'{"a":1,"a":2}',
    "names that are equal in escapes": rb'{"a":1,"\u0061":2}',
    "names out of order": b'{"z":1,"a":2,"m":3}',
    "odd names": rb'{" ":1,"\u0000":2,"\"":3,"a.b":4,"$ref":5,"__proto__":6}',
    "inner model": b'{"model":"other","stream":true,"model":"third"}',
    "long array": b"[" + b"0," * 10_000 + b"0]",
    "many names": b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(1000)) + b"}",
    "depth 100": b"[" * 100 + b"]" * 100,
    "objects of depth 100": b'{"a":' * 100 + b"1" + b"}" * 100,
}

I_VALUES: dict[str, bytes] = {
    "5000 digits": b"1" * 5000,
    "5000 decimals": b"0." + b"1" * 5000,
    "too large": b"1e400",
    "too small": b"-1e400",
    "next to nothing": b"1e-10000",
    "an absurd exponent": b"1e99999999999999999999",
    "depth 500": b"[" * 500 + b"]" * 500,
    "depth 2000": b"[" * 2000 + b"]" * 2000,
    "depth 20000": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
}

N_BODIES: dict[str, bytes] = {
    "two values": b'{"model":"m"} {"model":"m"}',
    "a comma behind": b'{"model":"m"},',
    "a brace behind": b'{"model":"m"}}',
    "a letter behind": b'{"model":"m"}x',
    "a comment behind": b'{"model":"m"}// x',
    "a NUL behind": b'{"model":"m"}\x00',
    "an invalid byte behind": b'{"model":"m"}\xff',
    "a no-break space behind": b'{"model":"m"}\xc2\xa0',
    "UTF-16LE": '{"model":"m"}'.encode("utf-16-le"),
    "UTF-16BE": '{"model":"m"}'.encode("utf-16-be"),
    "UTF-16 with a mark": '{"model":"m"}'.encode("utf-16"),
    "UTF-32": '{"model":"m"}'.encode("utf-32"),
    "a mark": b'\xef\xbb\xbf{"model":"m"}',
    "a guard before": b')]}\',\n{"model":"m"}',
    "a callback": b'f({"model":"m"})',
    "lines": b'{"model":"m"}\n{"model":"m"}\n',
    "a form": b"model=m",
    "multipart": b"--x\r\ncontent-disposition: form-data\r\n\r\nm\r\n--x--\r\n",
    "an event": b'data: {"model":"m"}\n\n',
    "YAML": b"model: m\n",
    "gzip without saying so": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}

PLACES: dict[str, bytes] = {
    "first": b'{"x":%b,"model":"m"}',
    "last": b'{"model":"m","x":%b}',
    "nested": b'{"model":"m","messages":[{"role":"user","content":%b}]}',
    "in the options": b'{"model":"m","stream_options":{"x":%b}}',
}


def placed(values: Mapping[str, bytes]) -> Iterator[tuple[str, bytes, bytes]]:
    """Each value in each place of a request: what that is called, the body, the value."""
    for name, value in values.items():
        for place, body in PLACES.items():
            yield f"{name}, {place}", body % value, value


async def post(client: RawClient, body: bytes) -> Answer:
    """Ask for a chat completion with this body, on a connection that lives on."""
    await client.send(request(CHAT, body))
    return await read_answer(client)


async def test_what_is_not_json_is_refused_wherever_it_stands(scene: Scenes) -> None:
    bodies = [(name, body) for name, body, _ in placed(N_VALUES)]
    bodies += [*N_VALUES.items(), *N_BODIES.items()]
    wrong = {}
    async with scene() as s, s.client() as client:
        for name, body in bodies:
            said = await post(client, body)
            code = said.fields.get("x-llm-proxy-error")
            # What begins as something else than an object may be refused for that.
            expected = ("client.bad_json",) if body[:1] in (b"{", b"") else BOTH
            if said.status != 400 or code not in expected or read_error(said.body)["code"] != code:
                wrong[name] = (said.status, code)
        assert wrong == {}
        assert s.upstream.connections == 0
        lines = await s.lines(len(bodies))
        assert {line["status"] for line in lines} == {400}
        assert sum(line["total_ms"] > 50 for line in lines) < len(lines) / 50


async def test_what_is_json_is_passed_on_byte_for_byte(scene: Scenes) -> None:
    bodies = [(name, body) for name, body, _ in placed(Y_VALUES)]
    wrong = {}
    async with scene() as s, s.client() as client:
        for name, body in bodies:
            said = await post(client, body)
            if said.status != 200 or s.upstream.requests[-1].body != body:
                wrong[name] = (said.status, said.body[:200])
        assert wrong == {}
        assert len(s.upstream.requests) == len(bodies)


async def test_an_edit_of_one_field_leaves_every_other_byte_for_byte(scene: Scenes) -> None:
    fields = dict[str, msgspec.Raw]
    wrong = {}
    async with scene(target="fake/theirs") as s, s.client() as client:
        for name, body, value in placed(Y_VALUES):
            said = await post(client, body)
            sent = s.upstream.requests[-1].body if said.status == 200 else b"{}"
            before = msgspec.json.decode(body, type=fields)
            before["model"] = msgspec.Raw(b'"theirs"')
            after = msgspec.json.decode(sent, type=fields)
            if [*after.items()] != [*before.items()] or value.strip() not in sent:
                wrong[name] = (said.status, sent[:200])
        assert wrong == {}


async def test_what_is_json_and_no_request_is_refused_as_that(scene: Scenes) -> None:
    wrong = {}
    async with scene() as s, s.client() as client:
        for name, value in Y_VALUES.items():
            said = await post(client, value)
            found = (said.status, read_error(said.body)["code"])
            if found != (400, "client.bad_request"):
                wrong[name] = found
        assert wrong == {}
        assert s.upstream.connections == 0


async def test_what_parsers_may_differ_about_is_passed_on_or_refused(scene: Scenes) -> None:
    wrong = {}
    async with scene() as s, s.client() as client:
        for name, body, _ in placed(I_VALUES):
            said = await post(client, body)
            if said.status == 200:
                right = s.upstream.requests[-1].body == body
            else:
                right = said.status == 400 and said.error["code"] in BOTH
            if not right:
                wrong[name] = said
        assert wrong == {}


async def test_a_model_may_be_spelled_in_any_way_that_json_has(scene: Scenes) -> None:
    spelled = {
        rb'"\u006d\u006f\u0064\u0065\u006C"': "model",
        rb'"org\/model:1"': "org/model:1",
        rb'"\ud83d\ude00"': "😀",
        '"modèle"'.encode(): "modèle",
        b'"' + b"m" * 256 + b'"': "m" * 256,
    }
    async with scene() as s, s.client() as client:
        for raw, model in spelled.items():
            body = b'{"model":%b}' % raw
            assert (await post(client, body)).status == 200
            assert s.upstream.requests[-1].body == body
            assert s.url.exchanges[-1]["model"] == model
