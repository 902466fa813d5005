"""The processors that a control group allows, read from folders like the kernel's."""

import os
from pathlib import Path

import pytest

from proxy import cgroup
from proxy.cgroup import cores


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def kernel(root: Path, group: str, **files: str) -> Path:
    """A root in which /proc names `group`; files by their path, a slash spelled __."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_max", ".max")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_without_control_groups_every_processor_counts(tmp_path: Path) -> None:
    assert cores(tmp_path) == 8


def test_a_cpuset_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5})

    assert cores(tmp_path) == 2


def test_where_nobody_knows_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000\n", 8),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("300000 100000\n", 3),
        ("6400000 100000\n", 8),
        ("", 8),
        ("100000 0\n", 8),
    ],
)
def test_a_quota_is_rounded_up(tmp_path: Path, limit: str, expected: int) -> None:
    assert cores(kernel(tmp_path, "0::/\n", cpu_max=limit)) == expected


def test_a_quota_further_up_counts_too(tmp_path: Path) -> None:
    groups = {"pods__one__cpu_max": "max 100000\n", "pods__cpu_max": "200000 100000\n"}

    assert cores(kernel(tmp_path, "0::/pods/one\n", **groups)) == 2


def test_a_group_that_is_not_mounted_is_the_mount_itself(tmp_path: Path) -> None:
    root = kernel(tmp_path, "0::/docker/abc\n", cpu_max="200000 100000\n")

    assert cores(root) == 2


def test_the_quota_of_version_1(tmp_path: Path) -> None:
    root = kernel(
        tmp_path,
        "5:memory:/a\n4:cpu,cpuacct:/b\n0::/\n",
        **{
            "cpu,cpuacct__b__cpu.cfs_quota_us": "300000\n",
            "cpu,cpuacct__b__cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct__cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct__cpu.cfs_period_us": "100000\n",
        },
    )

    assert cores(root) == 3


def test_it_is_at_least_one_here() -> None:
    assert 1 <= cgroup.cores() <= 8
