"""The command line."""

from pathlib import Path

import pytest

from bench import options


def test_by_default_it_is_the_quick_pass_of_everybody() -> None:
    found = options.parse([])
    assert [one.name for one in found.contenders] == [
        "direct",
        "nginx",
        "haproxy",
        "naive",
        "ours",
        "ours-2",
        "translating",
    ]
    assert all(one.quick for one in found.workloads)
    assert not found.full
    assert found.budget < 180


def test_the_full_pass_has_every_workload_and_more_rounds() -> None:
    quick, full = options.parse([]), options.parse(["--full"])
    assert {one.name for one in full.workloads} > {one.name for one in quick.workloads}
    assert full.rounds > quick.rounds
    assert full.budget < 1200


def test_names_choose_contenders_and_workloads_in_their_order() -> None:
    found = options.parse(["--only", "ours,nginx", "--workload", "idle-5000,unary-2k"])
    assert [one.name for one in found.contenders] == ["ours", "nginx"]
    assert [one.name for one in found.workloads] == ["idle-5000", "unary-2k"]


def test_rounds_and_seconds_are_what_one_asks_for() -> None:
    found = options.parse(["--rounds", "2", "--seconds", "0.5"])
    assert (found.rounds, found.memory_rounds, found.length.window) == (2, 2, 0.5)


def test_a_file_adds_a_contender(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('name = "other"\ncommand = ["other"]\n')
    found = options.parse(["--add", str(file), "--only", "other"])
    assert [one.name for one in found.contenders] == ["other"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "ngnix"], "no contender is called 'ngnix'; there are direct, nginx"),
        (["--workload", "x"], "no workload is called 'x'; there are unary-2k"),
        (["--rounds", "0"], "expected at least 1"),
        (["--rounds", "many"], "invalid"),
        (["--seconds", "600"], "expected 0.1 to 60"),
        (["--add", "none.toml"], "none.toml"),
    ],
)
def test_what_cannot_be_is_said_and_exits_2(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(arguments)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err
