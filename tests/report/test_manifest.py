"""The list of the figures of a run, and what the leaderboard links."""

from bench.journal import JOURNAL, Journal
from bench.report import manifest
from bench.report.write import existing_figures


def test_listed_files_that_exist_are_linked(tmp_path):
    journal = Journal(tmp_path / "run" / JOURNAL)
    folder = tmp_path / "run" / "figures"
    folder.mkdir(parents=True)
    for file in ("b.svg", "a.svg", "other.svg"):
        (folder / file).write_text("a figure")
    assert existing_figures(tmp_path, [journal]) == {"run": []}
    manifest.update(folder, [manifest.Figure(f"{name}.svg", "winners", "cpu", "cpu, 1 thread") for name in ("b", "lost", "a")])
    linked = existing_figures(tmp_path, [journal])["run"]
    assert [figure.file for figure in linked] == ["run/figures/a.svg", "run/figures/b.svg"]
    assert {(figure.kind, figure.setting, figure.caption) for figure in linked} == {("winners", "cpu", "cpu, 1 thread")}


def test_figures_of_an_older_version_are_found_by_their_names(tmp_path):
    """It had no list. Files of the user are not figures of a run."""
    for stem in ("crossover-2_cpu_1-thread_fp32", "latency-resolution_cpu_b1_c64", "my_plot", "winners"):
        (tmp_path / f"{stem}.svg").write_text("a figure")
    found = [(figure.file, figure.kind, figure.setting) for figure in manifest.read(tmp_path)]
    assert found == [
        ("crossover-2_cpu_1-thread_fp32.svg", "crossover", "cpu, 1-thread, fp32"),
        ("latency-resolution_cpu_b1_c64.svg", "latency-resolution", "cpu, b1, c64"),
    ]
    manifest.update(tmp_path, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_plot.svg", "winners.svg"]


def test_damaged_list_counts_as_none(tmp_path):
    other = '[{"file": %s, "kind": "", "setting": "", "caption": ""}]'
    for text in ("[{", "[1]", '[{"file": "a.svg"}]', "7", other % 1, other % '".."', other % '"../a.svg"', other % '"a.csv"'):
        (tmp_path / manifest.NAME).write_text(text)
        assert manifest.read(tmp_path) == []
