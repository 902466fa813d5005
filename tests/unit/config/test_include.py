import os
from pathlib import Path

import pytest

from proxy.config.include import MAX_DEPTH, include
from proxy.config.source import Source, parse, read
from proxy.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".toml")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def whole(file: str = "main.toml", **environ: str) -> Source:
    source = read(file)
    include(source, environ)
    return source


def problems_of(file: str = "main.toml", **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        whole(file, **environ)
    return raised.value.problems


def test_files_are_put_together_in_their_order() -> None:
    write(
        main='include = ["conf.d/*.toml", "last.toml"]\n[server]\na = 1\n[[route]]\nname = "main"',
        conf__d__b='[server]\nb = 2\n[[route]]\nname = "b"',
        conf__d__a='[[route]]\nname = "a1"\n[[route]]\nname = "a2"',
        last='[[route]]\nname = "last"',
    )
    Path("conf/d").rename("conf.d")
    source = whole()

    assert source.tree == {
        "server": {"a": 1, "b": 2},
        "route": [{"name": name} for name in ("main", "a1", "a2", "b", "last")],
    }
    assert source.at(("server", "b")) == "conf.d/b.toml:2: [server.b]"
    assert source.at(("route", 2, "name")) == "conf.d/a.toml:4: [route.a2.name]"
    assert source.names == ["main.toml", "conf.d/a.toml", "conf.d/b.toml", "last.toml"]
    assert source.warnings == []


def test_one_file_may_stand_for_a_list_of_it() -> None:
    write(main='include = "a.toml"', a="x = 1")

    assert whole().tree == {"x": 1}


def test_names_start_from_the_folder_of_the_file_that_they_stand_in() -> None:
    write(
        sub__main='include = ["one/*.toml", "../two.toml"]',
        sub__one__a='include = "deep/*.toml"\n[a]',
        sub__one__deep__b="[b]",
        two=f'include = "{Path.cwd()}/three.toml"\n[two]',
        three="[three]",
    )
    source = whole("sub/main.toml")

    assert list(source.tree) == ["a", "b", "two", "three"]
    assert source.place(("b",)).name == "sub/one/deep/b.toml"


def test_hidden_files_are_not_matched() -> None:
    write(main='include = "conf/*"', conf__a="a = 1")
    Path("conf/.a.toml.swp").write_text("garbage")
    Path("conf/..2024").mkdir()

    assert whole().tree == {"a": 1}


def test_a_name_may_refer_to_a_variable() -> None:
    write(main='include = "${STAGE:-test}/*.toml"', test__x='x = "test"', live__x='x = "live"')

    assert whole().tree == {"x": "test"}
    assert whole(STAGE="live").tree == {"x": "live"}


def test_what_is_in_a_variable_includes_from_the_current_folder() -> None:
    write(a="x = 1")
    source = parse('include = "a.toml"', "LLM_PROXY_CONFIG_TOML")
    include(source, {})

    assert source.tree == {"x": 1}


def test_a_glob_that_matches_nothing_is_a_warning() -> None:
    write(main='include = [\n"conf.d/*.tmol"]')
    source = whole()

    assert source.tree == {}
    assert source.warnings == ['main.toml:2: [include.1]: "conf.d/*.tmol" matches no file']


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("include = 5", "main.toml:1: [include]: expected a file, or a glob of files"),
        ('include = ["b.toml",\n5]', "main.toml:2: [include.2]: expected a file, or a glob of f"),
        ('include = ""', "main.toml:1: [include]: expected a file, or a glob of files"),
        ('include = "${X}"', "main.toml:1: [include]: the environment variable X is not set"),
        ('include = "none.toml"', "none.toml: no such file (included at main.toml:1)"),
        ('include = "sub"', "sub: is a directory (a TOML file is expected) (included at main.to"),
        ('include = "s*"', "sub: is a directory (a TOML file is expected) (included at main.to"),
        ('include = "bad.toml"', "bad.toml:2: is not TOML: invalid value"),
        ('include = "bytes.toml"', "bytes.toml:1: is not UTF-8 (save it as UTF-8) (included at"),
        ('include = "a\\u0000b"', "main.toml:1: [include]: embedded null byte"),
        ('include = "main.toml"', "main.toml:1: [include]: main.toml includes itself (main.toml "),
        (
            'include = ["b.toml", "./b.toml"]',
            "main.toml:1: [include.2]: ./b.toml is included already, at main.toml:1",
        ),
        ('include = "b.toml"\nb = 1', "b.toml:1: [b]: is set already, at main.toml:2"),
    ],
)
def test_what_cannot_be_included_is_a_problem(text: str, problem: str) -> None:
    write(main=text, b="b = 2", bad="x = 1\ny =")
    Path("bytes.toml").write_bytes(b"\xff")
    Path("sub").mkdir()
    problems = problems_of()

    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_file_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    source = parse('include = "a.toml"', "main.toml")

    def refuse(*_: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError) as raised:
        include(source, {})

    assert raised.value.problems == [
        "a.toml: cannot be read: Permission denied (included at main.toml:1)"
    ]


def test_a_cycle_is_told_by_its_way() -> None:
    write(main='include = "a.toml"', a='x = 1\ninclude = "b.toml"', b='include = "a.toml"')

    assert problems_of() == [
        "b.toml:1: [include]: a.toml includes itself (main.toml -> a.toml -> b.toml -> a.toml)"
    ]


def test_a_cycle_through_a_symlink_is_one() -> None:
    write(main='include = "a.toml"')
    os.symlink("main.toml", "a.toml")

    assert problems_of() == [
        "main.toml:1: [include]: a.toml includes itself (main.toml -> main.toml)"
    ]


def test_files_are_nested_to_a_depth() -> None:
    for depth in range(MAX_DEPTH + 1):
        write(**{f"f{depth}": f'include = "f{depth + 1}.toml"\nx{depth} = 1'})

    assert problems_of("f0.toml") == [
        f"f{MAX_DEPTH - 1}.toml:1: [include]: f{MAX_DEPTH}.toml is nested too deeply "
        f"(at most {MAX_DEPTH} files)"
    ]
    write(f7="x7 = 1")
    assert len(whole("f0.toml").tree) == MAX_DEPTH


def test_every_problem_of_every_file_is_told() -> None:
    write(
        main='include = ["none.toml", "c/*.toml", "a.toml"]\nx = 1',
        c__1="x =",
        c__2="x = 2",
        a="x = 3",
    )

    assert [problem.partition(": ")[0] for problem in problems_of()] == [
        "none.toml",
        "c/1.toml:1",
        "c/2.toml:1",
        "a.toml:1",
    ]
