"""The commit of this checkout, as recorded with every run."""

import os
import subprocess

import pytest

from bench.system import version


def git(folder, *words):
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | names).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit takes the place of this one."""
    for name in ("own", "other"):
        (tmp_path / name / "bench").mkdir(parents=True)
        (tmp_path / name / "bench" / "spec.py").write_text(f"# {name}\n")
        git(tmp_path / name, "init", "-q")
        git(tmp_path / name, "add", ".")
        git(tmp_path / name, "commit", "-q", "-m", name)
    monkeypatch.setattr(version, "ROOT", tmp_path / "own")
    return tmp_path


def test_the_commit_is_that_of_this_checkout_with_a_mark_if_modified(checkout):
    head = git(checkout / "own", "rev-parse", "--short=12", "HEAD")
    assert version.commit() == head
    (checkout / "own" / "bench" / "spec.py").write_text("# edited\n")
    assert version.commit() == head + "+"


def test_the_environment_names_no_other_repository(checkout, monkeypatch):
    expected = version.commit()
    monkeypatch.setenv("GIT_DIR", str(checkout / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(checkout / "other"))
    assert version.commit() == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the owner of files needs root")
def test_a_checkout_of_another_owner_has_its_commit(checkout):
    expected = version.commit()
    for path in [checkout / "own", *(checkout / "own").rglob("*")]:
        os.chown(path, 12345, 12345)
    assert version.commit() == expected


def test_without_a_checkout_the_commit_of_the_build_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(version, "ROOT", tmp_path)
    monkeypatch.setattr(version, "__file__", str(tmp_path / "version.py"))
    assert version.commit() is None
    (tmp_path / "COMMIT").write_text("abc123def456\n")
    assert version.commit() == "abc123def456"
    assert version.version_text().endswith(", commit abc123def456")
