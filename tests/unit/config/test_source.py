import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.source import Place, Source, bare_or_quoted, parse, quote, read, state_of
from proxy.errors import ConfigError


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml")
    return raised.value.problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server", "x.toml:1: is not TOML: expected ']' at the end of a table declaration"),
        ("\n\na =", "x.toml:3: is not TOML: invalid value"),
        ("a = { b = 1 }\na.c = 2\n", "x.toml:2: is not TOML: cannot mutate immutable namespace"),
        ('a = "open\n', "x.toml:1: is not TOML: illegal character"),
        ("a = 1 2\n", "x.toml:1: is not TOML: expected newline"),
        ("a = 99999999999999999999", "x.toml:1: [a]: is beyond 64 bits"),
        ("[a]\nb = [1,\n 0x8000000000000000]", "x.toml:3: [a.b.2]: is beyond 64 bits"),
        ('a = "\udcff"', "x.toml: is not UTF-8"),
        (f"a = {'9' * 5000}", "x.toml: is not TOML: "),
        (f"a = {'[' * 5000}", "x.toml: is nested too deeply"),
        (f"a = {'[' * 40}{']' * 40}", "x.toml:1: [a.1]: is nested too deeply (at most 32 levels)"),
        (f"x.{'a.' * 50}a = 1", "x.toml:1: [x.a]: is nested too deeply (at most 32 levels)"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, problem: str) -> None:
    assert problems_of(text)[0].startswith(problem)


@given(st.text(max_size=60) | st.text('ab="[]{}.,\n#', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        problems = [str(parse(text, "x.toml").place(()))]
    except ConfigError as error:
        problems = error.problems

    assert all(problem.startswith("x.toml") for problem in problems)


def test_a_path_has_the_place_of_the_nearest_table_that_is_written() -> None:
    source = parse("[a]\nb = [1,\n2]\n[c]\n", "x.toml")

    assert source.place(("a", "b")) == Place("x.toml", 2)
    assert source.place(("a", "b", 1)) == Place("x.toml", 3)
    assert source.place(("a", "missing", "x")) == Place("x.toml", 1)
    assert source.place(("missing",)) == Place("x.toml")
    assert [str(source.place(path)) for path in [("a", "b"), ()]] == ["x.toml:2", "x.toml"]


def test_places_are_in_the_order_of_a_reader() -> None:
    source = parse("b = 1\na = 1\n", "x.toml")
    source.add(parse("c = 1\n", "a.toml"))
    source.set(("d",), 1, "--flag")

    assert sorted("abcd", key=lambda key: source.order((key,))) == ["d", "b", "a", "c"]


def test_relative_paths_start_from_the_folder_of_the_file_that_names_them(tmp_path: Path) -> None:
    source = parse("a = 1", str(tmp_path / "x.toml"))
    source.add(parse("b = 1", str(tmp_path / "conf.d" / "y.toml")))
    source.set(("c",), 1, "LLM_PROXY__C")

    assert source.directory(("a",)) == str(tmp_path)
    assert source.directory(("b",)) == str(tmp_path / "conf.d")
    assert source.directory(("c",)) == os.getcwd()


def test_two_sources_are_put_together() -> None:
    one = parse('[s]\na = 1\n[[r]]\nname = "x"\n[t.u]\nv = 1\n', "1")
    other = parse("[s]\nb = 2\n[[r]]\nl = [1, 2]\n[[r]]\n[t]\nw.x = 1\n", "2")

    assert one.add(other) == []
    assert one.tree == {
        "s": {"a": 1, "b": 2},
        "r": [{"name": "x"}, {"l": [1, 2]}, {}],
        "t": {"u": {"v": 1}, "w": {"x": 1}},
    }
    assert one.at(("s", "a")) == "1:2: [s.a]"
    assert one.at(("s", "b")) == "2:2: [s.b]"
    assert one.at(("r", 0, "name")) == "1:4: [r.x.name]"
    assert one.at(("r", 1, "l", 1)) == "2:4: [r.2.l.2]"
    assert one.at(("r", 2)) == "2:5: [r.3]"
    assert one.names == ["1", "2"]


@pytest.mark.parametrize(
    ("one", "other", "problem"),
    [
        ("a = 1", "a = 1", "2:1: [a]: is set already, at 1:1"),
        ("a = [1]", "a = [2]", "2:1: [a]: is set already, at 1:1"),
        ("a = []", "a = []", "2:1: [a]: is set already, at 1:1"),
        ("[a]", "[[a]]", "2:1: [a]: is set already, at 1:1"),
        ("a.b.c = 1", "[a.b]\nc = {}", "2:2: [a.b.c]: is set already, at 1:1"),
    ],
)
def test_what_two_sources_say_both_is_told_with_both_places(
    one: str, other: str, problem: str
) -> None:
    assert parse(one, "1").add(parse(other, "2")) == [problem]


def test_an_element_goes_by_its_name_or_by_its_position_from_1() -> None:
    source = parse('[[r]]\nname = "chat"\nx = 1\n[[r]]\nl = ["a"]\n[[r]]\nname = "a]b"\n', "f")

    assert source.at(("r", 0, "x")) == "f:3: [r.chat.x]"
    assert source.at(("r", 1, "l", 0)) == "f:5: [r.2.l.1]"
    assert source.at(("r", 2, "name")) == "f:7: [r.3.name]"
    assert source.at(("r", 9, "x")) == "f:1: [r.10.x]"
    assert source.at(()) == "f"


def test_what_stands_alone_where_a_list_could_is_not_counted() -> None:
    assert parse('a = "x"', "f").at(("a", 0)) == "f:1: [a]"


def test_a_key_that_is_set_has_the_place_of_whoever_set_it() -> None:
    source = parse('[server]\nlisten = ["a",\n"b"]\n', "x.toml")

    source.set(("server", "listen"), ["c"], "--listen")
    source.set(("monitoring", "log", "level"), "debug", "--log-level")

    assert source.tree == {"server": {"listen": ["c"]}, "monitoring": {"log": {"level": "debug"}}}
    assert source.at(("server", "listen", 0)) == "--listen: [server.listen.1]"
    assert source.at(("monitoring", "log", "level")) == "--log-level: [monitoring.log.level]"
    assert source.at(("server",)) == "x.toml:1: [server]"


def test_nothing_is_set_below_what_is_no_table() -> None:
    source = parse("server = 5", "x.toml")

    source.set(("server", "listen"), ["c"], "--listen")

    assert source.tree == {"server": 5}


def test_a_source_neither_prints_nor_pickles_what_it_holds() -> None:
    source = parse('token = "literal:canary"', "x.toml")

    assert "canary" not in f"{source} {source!r}"
    with pytest.raises(TypeError, match="not to be pickled"):
        pickle.dumps(source)


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes('"ä" = 1\r\nb = 2\r\n'.encode())

    source = read(str(file))

    assert (source.tree, source.name) == ({"ä": 1, "b": 2}, str(file))
    assert source.place(("b",)) == Place(str(file), 2)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xef\xbb\xbfa = 1", ":1: starts with a byte order mark, which TOML forbids"),
        (b"a = 1\nb = '\xe4'\n", ":2: is not UTF-8"),
        ("a = 1".encode("utf-16"), ":1: is not UTF-8"),
        (
            "a = 1".encode("utf-16-le"),
            ":1: is not TOML: it holds NUL bytes (UTF-16? save it as UTF-8)",
        ),
    ],
)
def test_what_is_not_utf_8_is_told(tmp_path: Path, data: bytes, problem: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(data)

    with pytest.raises(ConfigError) as raised:
        read(str(file))

    assert raised.value.problems[0].startswith(f"{file}{problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = 2\na = 3", "3: a is set already, at line 1"),
        ("[t]\na.b = 1\n\na.b = 1\n", "4: a.b is set already, at line 2"),
        ('"a b" = [\n1]\n"a b" = 1', '3: "a b" is set already, at line 1'),
        ("[[r]]\nx = 1\n[[r]]\ny = 1\ny = 2", "5: y is set already, at line 4"),
        ("l = 1\nl = [\n2\n]", "4: a key is set that is set already"),
        ("a = 1\n[a]\nb = 1", "2: a key is set that is set already"),
        ("a = { b = 1, b = 2 }", "1: b is set twice"),
        ("[t]\na = 1\n[u]\n[t]\nb = 1", "4: [t] stands twice"),
        ('[a]\n"b c".d = 1\n[a."b c"]', '3: [a."b c"] stands twice'),
    ],
)
def test_what_stands_twice_is_told_with_its_first_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml")

    assert raised.value.problems == [f"x.toml:{problem}"]


def test_a_pipe_that_nobody_may_ever_write_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.toml")

    with pytest.raises(ConfigError, match=r"x\.toml: cannot be read: it is a pipe"):
        read(str(tmp_path / "x.toml"))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name, problem in [
        (str(tmp_path), f"{tmp_path}: is a directory (a TOML file is expected)"),
        (f"{tmp_path}/none", f"{tmp_path}/none: no such file"),
        (f"{tmp_path}/{'x' * 300}", f"{tmp_path}/{'x' * 300}: cannot be read: File name too long"),
        ("a\0b", "a\0b: cannot be read: embedded null byte"),
    ]:
        with pytest.raises(ConfigError) as raised:
            read(name)
        assert raised.value.problems == [problem]


def test_a_file_without_end_is_told() -> None:
    with pytest.raises(ConfigError) as raised:
        read("/dev/zero")

    assert raised.value.problems == ["/dev/zero: cannot be read: it is larger than 16 MiB"]


def changing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Have a file look changed after each of its first readings."""
    stats = os.fstat
    left = 2 * times

    def fstat(descriptor: int) -> os.stat_result:
        nonlocal left
        left -= 1
        found = stats(descriptor)
        if left < 0:
            return found
        return os.stat_result((*found[:6], left, *found[7:]))

    monkeypatch.setattr(os, "fstat", fstat)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.toml"
    file.write_text("a = 1")
    changing(monkeypatch, 3)

    assert read(str(file)).tree == {"a": 1}


def test_a_file_that_never_stays_the_same_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.toml"
    file.write_text("a = 1")
    changing(monkeypatch, 99)

    with pytest.raises(ConfigError) as raised:
        read(str(file))
    assert raised.value.problems == [f"{file}: cannot be read: it changes while it is read"]


def test_a_pipe_can_be_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a = 1")
    os.close(writer)

    assert read(f"/dev/fd/{reader}").tree == {"a": 1}
    os.close(reader)


def test_a_file_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError) as raised:
        read("x.toml")

    assert raised.value.problems == ["x.toml: cannot be read: Permission denied"]


@given(st.text())
def test_a_quoted_text_is_read_back(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()

    assert parse(f"a = {quote(text)}", "x").tree == {"a": text}
    assert parse(f"{bare_or_quoted(text)} = 1", "x").tree == {text: 1}


def test_a_source_of_nothing_has_no_places() -> None:
    assert Source("built-in defaults", {}).at(("a",)) == "built-in defaults: [a]"


def test_what_files_hold_is_remembered_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[server]\n")
    source = read(str(file))
    source.globs[str(tmp_path), "*.toml"] = ["a.toml"]
    assert state_of(source) == (source.digests, source.globs)
    os.utime(file, (1, 1))
    assert state_of(source) == (source.digests, source.globs)
    (tmp_path / "b.toml").write_text("")
    assert state_of(source) == (source.digests, {(str(tmp_path), "*.toml"): ["a.toml", "b.toml"]})
    file.write_text("[global]\n")
    assert state_of(source)[0] != source.digests
    file.unlink()
    assert state_of(source) == (
        {str(file): b""},
        {(str(tmp_path), "*.toml"): ["b.toml"]},
    )


def test_what_is_no_file_is_read_to_its_end(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, b"[server]\n" * 3000)
        os.close(write_end)
        with pytest.raises(ConfigError, match=r"fd/[0-9]+:2: "):
            read(f"/dev/fd/{read_end}")
    finally:
        os.close(read_end)


def test_what_is_no_file_and_has_no_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.config.source._PIPE_SECONDS", 0.0)
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(ConfigError, match="it is no file, and did not end within 0 s"):
            read(f"/dev/fd/{read_end}")
    finally:
        os.close(read_end)
        os.close(write_end)
