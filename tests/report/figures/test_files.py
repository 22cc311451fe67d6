"""Files of the figures: reproducible, listed, and deleted when they are outdated."""

import struct
from dataclasses import replace

from bench.report import figures, manifest
from bench.tables.cells import complete_rows
from tests.report.figures.helpers import journal_of, latency


def test_files_are_800_px_wide_reproducible_and_keep_other_files(tmp_path):
    names = ["a$1$ <b>", "_mine"]  # not a formula, and not hidden by the legend
    journal = journal_of(tmp_path, *(latency(name, size, size) for name in names for size in (28, 56)))
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    paths = figures.draw(journal, complete_rows(journal), tmp_path / "figures")
    assert [path.name for path in paths] == [f"latency-resolution_cpu_1-thread_fp32_infer_b1_c64.{kind}" for kind in ("svg", "png")]
    assert struct.unpack(">I", paths[1].read_bytes()[16:20]) == (800,)
    again = figures.draw(journal, complete_rows(journal), tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    assert (tmp_path / "figures" / "mine.png").read_bytes() == b"mine"


def test_nothing_is_written_without_data(tmp_path):
    journal = journal_of(tmp_path)
    assert figures.draw(journal, complete_rows(journal), tmp_path / "figures") == []
    assert not (tmp_path / "figures").exists()


def test_figures_that_are_not_drawn_again_are_deleted(tmp_path):
    """With a second environment, file names contain the environment; files without it would be outdated."""
    folder = tmp_path / "figures"
    first = [latency(name, size, size) for name in ("niff", "dwconv7") for size in (28, 56)]
    journal = journal_of(tmp_path, *first)
    old = figures.draw(journal, complete_rows(journal), folder)
    mine = folder / "winners of the season.png"
    mine.write_bytes(b"mine")
    second = [replace(record, env="e2", job=replace(record.job, code="d")) for record in first]
    both = journal_of(tmp_path, *first, *second)
    new = figures.draw(both, complete_rows(both), folder)
    assert old and new and not set(old) & set(new)
    assert set(folder.iterdir()) == {*new, folder / manifest.NAME, mine}
    assert figures.draw(journal_of(tmp_path), complete_rows(journal_of(tmp_path)), folder) == []
    assert list(folder.iterdir()) == [mine]


def test_listed_figures_are_deleted_and_no_other_file(tmp_path):
    """The names of the files play no role, and the list of a folder reaches no other folder."""
    folder = tmp_path / "figures"
    folder.mkdir()
    for file in ("old.svg", "old.png", "my_plot.svg", "winners_cpu.png"):
        (folder / file).write_text("a figure")
    (tmp_path / "mine.svg").write_text("mine")
    manifest.update(folder, [manifest.Figure(file, "winners", "cpu", "cpu") for file in ("old.svg", "../mine.svg", "lost.svg")])
    journal = journal_of(tmp_path, *(latency(name, size, size) for name in ("niff", "dwconv7") for size in (28, 56)))
    new = figures.draw(journal, complete_rows(journal), folder)
    kept = [folder / file for file in ("my_plot.svg", "winners_cpu.png", manifest.NAME)]
    assert set(folder.iterdir()) == {*new, *kept}
    assert (tmp_path / "mine.svg").read_text() == "mine"


def test_figures_without_a_list_are_replaced(tmp_path):
    """An older version wrote no list: its figures are known by their names, other files are not touched."""
    folder = tmp_path / "figures"
    folder.mkdir()
    names = ("winners_cpu", "latency-resolution_cpu_1-thread_fp32_infer_b1_c64", "my_plot")
    winners, latencies, mine = (folder / f"{name}.svg" for name in names)
    for path in (winners, latencies, mine):
        path.write_text("old")
    assert [figure.file for figure in manifest.read(folder)] == [latencies.name, winners.name]
    journal = journal_of(tmp_path, *(latency("niff", size, size) for size in (28, 56)))
    new = figures.draw(journal, complete_rows(journal), folder)
    assert set(folder.iterdir()) == {mine, *new, folder / manifest.NAME}
    assert mine.read_text() == "old" and latencies.read_text() != "old" and not winners.exists()
    assert [folder / figure.file for figure in manifest.read(folder)] == [latencies] == new[:1]


def test_list_has_kind_setting_and_title(tmp_path):
    folder = tmp_path / "figures"
    journal = journal_of(tmp_path, *(latency(name, size, size) for name in ("niff", "dwconv7") for size in (28, 56)))
    figures.draw(journal, complete_rows(journal), folder)
    title = "cpu, 1 thread, fp32, inference, batch 1"
    assert manifest.read(folder) == [
        manifest.Figure(
            *("latency-resolution_cpu_1-thread_fp32_infer_b1_c64.svg", "latency-resolution"),
            *("cpu, 1-thread, fp32, infer, b1, c64", f"{title}, 64 channels"),
        ),
        manifest.Figure("relative_cpu_1-thread_fp32_infer_b1.svg", "relative", "cpu, 1-thread, fp32, infer, b1", title),
    ]


def test_omitted_settings_are_reported(tmp_path, capsys):
    records = [latency("niff", size, size, channels=channels) for size in (28, 56) for channels in (8, 16)]
    journal = journal_of(tmp_path, *records)
    paths = figures.draw(journal, complete_rows(journal), tmp_path / "figures", most=1)
    assert "only the first 1 settings of latency-resolution are drawn" in capsys.readouterr().err
    assert set((tmp_path / "figures").iterdir()) == {*paths, tmp_path / "figures" / manifest.NAME}
    assert [path.name for path in paths if path.name.startswith("latency-resolution")] == [
        f"latency-resolution_cpu_1-thread_fp32_infer_b1_c8.{kind}" for kind in ("svg", "png")
    ]
    figures.draw(journal, complete_rows(journal), tmp_path / "figures")
    assert capsys.readouterr().err == ""


def test_name_in_another_script_gives_no_warning(tmp_path):
    journal = journal_of(tmp_path, *(latency("漢字", size, size) for size in (28, 56)))
    assert len(figures.draw(journal, complete_rows(journal), tmp_path / "figures")) == 2
