"""The verbs as a user types them: sweeps resume, bad input is one sentence and exit 2, light verbs load no torch."""

import json
import subprocess
import sys

import pytest

import methods
from bench.columns import METRICS
from bench.journal import JOURNAL, read_journal
from bench.system import ceilings
from bench.tables.cells import tidy
from tests.builders import bench
from tests.paths import PLUGINS

FAULTS = str(PLUGINS / "faults.py")
SWEEP = ["run", "--methods", "dwconv3", "--res", "8", "--channels", "4", "--metrics", "params,latency", "--executor", "inline"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "run"


def sweep(out, *words):
    return bench(*SWEEP, "-o", str(out), *words)


def test_a_sweep_writes_journal_table_and_leaderboard(out):
    result = sweep(out)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} >= {"journal.jsonl", "table.csv"}
    board = (out.parent / "LEADERBOARD.md").read_text()
    assert "`dwconv3`" in board
    assert "`dwconv7`" in board, "the baseline is measured too"
    assert "`accuracy_res`" in (out.parent / "README.md").read_text()


def test_the_same_command_again_measures_nothing(out):
    sweep(out)
    before = (out / JOURNAL).read_text().count('"kind":"record"')
    result = sweep(out)
    assert result.exit_code == 0
    assert (out / JOURNAL).read_text().count('"kind":"record"') == before == 4
    assert "4 jobs, 4 already done" in result.output


def test_ceilings_measured_later_reach_a_folder_that_was_begun(out, tmp_path, monkeypatch):

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sweep(out)
    (env,) = read_journal(out / JOURNAL).envs
    ceilings.save(env, "cpu", 1, {"linear": {"fp32": 1.0}})
    sweep(out)
    assert read_journal(out / JOURNAL).envs[env]["ceilings"] == {"cpu/1": {"linear": {"fp32": 1.0}}}
    lines = (out / JOURNAL).read_text().count('"kind":"env"')
    sweep(out)
    assert (out / JOURNAL).read_text().count('"kind":"env"') == lines == 2, "written when it changes"


def test_the_rounds_of_a_latency_are_a_setting(out):
    words = ("--metrics", "latency", "--rounds", "3", "--max-rounds", "2", "--target", "50%")
    assert sweep(out, *words).exit_code == 0
    (timing,) = {record.job.protocol for record in read_journal(out / JOURNAL).records.values() if record.job.metric == "latency"}
    assert (timing.rounds, timing.max_rounds, timing.target, timing.timer) == (3, 3, 0.5, "wall")


def test_force_measures_again_and_retry_only_what_failed(out):
    words = ("--plugin", FAULTS, "--methods", "raises")
    sweep(out, *words)
    journal = read_journal(out / JOURNAL)
    assert sorted(record.status for record in journal.records.values()) == ["error", "ok", "ok", "ok", "ok", "ok"]
    assert "6 jobs, 5 already done" in sweep(out, *words, "--retry", "failed").output
    assert "6 jobs, 0 already done" in sweep(out, *words, "--force").output


def test_failed_jobs_end_in_exit_3_after_the_tables_are_written(out):
    result = sweep(out, "--plugin", FAULTS, "--methods", "raises")
    assert result.exit_code == 3
    assert "1 of 6 jobs failed" in result.output
    assert (out / "table.csv").exists()
    assert sweep(out, "--plugin", FAULTS, "--methods", "declines", "--metrics", "params").exit_code == 0


def test_an_edited_plugin_is_measured_again(out, tmp_path):
    plugin = tmp_path / "mine.py"
    text = 'from methods import register\nfrom torch import nn\n@register("NAME")\nclass Mine(nn.Identity):\n    """Mine."""\n'
    plugin.write_text(text.replace("NAME", "mine_first"))
    command = (sys.executable, "-m", "bench", *SWEEP, "--methods", "mine_first", "--plugin", str(plugin), "-o", str(out))
    assert "6 jobs, 0 already done" in run(*command).stderr
    plugin.write_text(plugin.read_text() + "# edited\n")
    assert "6 jobs, 4 already done" in run(*command).stderr


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)


def test_comma_lists_and_repeated_flags_are_the_same(out):
    sweep(out, "--res", "9,10", "--res", "9x12", "--dry-run")
    plan = sweep(out, "--res", "9", "--res", "10,9x12", "--dry-run").output
    assert all(f" c4 {size}px" in plan for size in ("8x8", "9x9", "10x10", "9x12"))
    assert not out.exists(), "a dry run writes nothing"


def test_a_dry_run_gives_reasons(out):
    plan = sweep(out, "--plugin", FAULTS, "--methods", "declines", "--dry-run").output
    assert "skip: only on Sundays" in plan


def test_a_kernel_axis_and_overrides_reach_the_rows(out):
    result = sweep(out, "--methods", "dwconv", "--kernel", "5,9", "--set", "dwconv.backend=fft", "--metrics", "params")
    assert result.exit_code == 0, result.output
    table = tidy(read_journal(out / JOURNAL))
    assert sorted(table.loc[table["method"] == "dwconv", "label"].unique()) == [
        "dwconv[backend=fft,kernel=5]",
        "dwconv[backend=fft,kernel=9]",
    ]


BAD = {
    "unknown method": (("--methods", "dwconv77"), "unknown method 'dwconv77'; did you mean 'dwconv7'? (known: "),
    "no match": (("--methods", "zzz*"), "no method matches 'zzz*'"),
    "kernel needed": (("--methods", "dwconv"), "method 'dwconv' needs a kernel size: give --kernel"),
    "resolution": (("--res", "22y"), "'22y' is not a resolution such as 224 or 64x96"),
    "zero resolution": (("--res", "0"), "'0' is not a resolution"),
    "empty item": (("--res", "8,,9"), "'' is not a resolution"),
    "channels": (("--channels", "-4"), "'-4' is not a positive whole number"),
    "dtype": (("--dtype", "fp31"), "'fp31' is not one of fp32, bf16; did you mean 'fp32'?"),
    "metric": (("--metrics", "latenzy"), "did you mean 'latency'?"),
    "device": (("--device", "gpu"), "'gpu' is not a device"),
    "absent device": (("--device", "cuda:99"), "device cuda:99 does not exist"),
    "set syntax": (("--set", "dwconv3"), "is not METHOD.OPTION=VALUE"),
    "set method": (("--set", "nif.hidden=3"), "unknown method 'nif'"),
    "set option": (("--set", "dwconv3.backen=fft"), "method 'dwconv3' has no option 'backen'; did you mean 'backend'?"),
    "set outside": (("--set", "niff.hidden=3"), "unknown method 'niff'"),
    "set fixed": (("--set", "dwconv3.kernel_size=5"), "--kernel sets the kernel size"),
    "set mapping": (("--set", "dwconv3.backend={1:2}"), "is not a finite number, a truth value, a text or a tuple of them"),
    "set infinite": (("--set", "dwconv3.backend=1e999"), "is not a finite number"),
    "set complex": (("--set", "dwconv3.backend=1j"), "is not a finite number"),
    "threads": (("--threads", "100000"), "--threads 100000 is more than the"),
    "baseline glob": (("--baseline", "dw*"), "--baseline takes the name of a method, or none, not 'dw*'"),
    "endless": (("--timeout", "inf"), "'inf' is not a positive number"),
    "exiting plugin": (("--plugin", str(PLUGINS / "exits.py")), "exits.py raised SystemExit: 0"),
    "baseline": (("--baseline", "dwconv8"), "unknown method 'dwconv8'"),
    "missing plugin": (("--plugin", "absent.py"), "'absent.py' does not exist"),
    "broken plugin": (("--plugin", str(PLUGINS / "broken.py")), "broken.py raised RuntimeError: this plugin is broken"),
    "empty plugin": (("--plugin", str(PLUGINS / "empty.py")), "empty.py registers no method"),
    "timeout": (("--timeout", "0"), "'0' is not a positive number with one of the units s, ms, min, h"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_2(out, case):
    words, sentence = BAD[case]
    result = sweep(out, *words)
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not out.exists()


def test_an_unwritable_folder(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result = sweep(blocked / "run")
    assert result.exit_code == 2
    assert "Error:" in result.output
    assert blocked.read_text() == "in the way"


def test_a_page_written_by_hand_stops_a_sweep_before_it_measures(out):
    out.parent.mkdir()
    mine = out.parent / "README.md"
    mine.write_text("by hand")
    result = sweep(out)
    assert result.exit_code == 2
    assert "was not generated by this program" in " ".join(result.output.split())
    assert mine.read_text() == "by hand"
    assert not out.exists()


def test_a_corrupt_journal_is_named_and_left_alone(out):
    sweep(out)
    journal = out / JOURNAL
    text = "rubbish\n" + journal.read_text()
    journal.write_text(text)
    for result in (sweep(out), bench("report", str(out.parent))):
        assert result.exit_code == 2
        assert "journal.jsonl: line 1 is not a journal line" in " ".join(result.output.split())
    assert journal.read_text() == text


def test_report_is_a_pure_function_of_the_journal(out):
    sweep(out)
    files = [out / "table.csv", out.parent / "LEADERBOARD.md", out.parent / "README.md"]
    first = [path.read_text() for path in files]
    for path in files:
        path.unlink()
    assert bench("report", str(out.parent)).exit_code == 0
    assert [path.read_text() for path in files] == first
    assert bench("report", str(out.parent / "README.md")).exit_code == 2


def test_report_needs_a_run(tmp_path):
    result = bench("report", str(tmp_path))
    assert result.exit_code == 2
    assert "no journal.jsonl in" in result.output


def test_list_as_json_holds_everything():
    found = json.loads(bench("list", "--json").output)
    assert [entry["name"] for entry in found["methods"]] == methods.names()
    assert found["metrics"] == list(METRICS)
    assert "digits" in found["data"]
    assert {"mixer", "dfformer_s18", "niff_resnet50"} <= set(found["networks"])


def test_list_for_people_names_every_method():
    text = bench("list").output
    assert all(f"  {name} " in text for name in methods.names())


def test_info_describes_a_method():
    text = bench("info", "dwconv31").output
    assert "kernel_size = 31" in text
    assert "https://arxiv.org/abs/2203.06717" in text
    assert bench("info", "dwconv32").exit_code == 2


def test_info_states_how_to_set_a_kernel_size():
    text = bench("info", "shared_basis").output
    assert "Takes --kernel" in text
    assert "kernel_size =" not in text.split("Paper:")[1]
    assert "Needed: kernel_size (--kernel)" in bench("info", "dwconv").output


def test_check_runs_the_contract_on_a_method_and_on_a_file():
    good = bench("check", "dwconv3")
    assert good.exit_code == 0
    assert "dwconv3: gradients: ok" in good.output
    bad = bench("check", FAULTS.replace("faults", "mean"))
    assert bad.exit_code == 1
    assert "mean_of_batch: batch_independent: FAILED" in bad.output
    assert "mean_of_batch: cuda_untouched: ok" in bad.output
    assert "asks_for_cuda: cuda_untouched: FAILED: AssertionError: CUDA was initialised" in bad.output
    assert bench("check", "dwconv33").exit_code == 2


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"], ["run", "--help"], ["columns"]])
def test_light_verbs_load_no_torch(words):
    program = f"import sys\nfrom bench.cli import main\nmain({words!r}, standalone_mode=False)\n"
    run(sys.executable, "-c", program + "assert not {'torch', 'pandas'} & sys.modules.keys()")


def test_report_loads_no_torch(out):
    sweep(out)
    program = f"import sys\nfrom bench.cli import main\nmain(['report', {str(out.parent)!r}], standalone_mode=False)\n"
    run(sys.executable, "-c", program + "assert 'torch' not in sys.modules")


def test_completion_of_a_comma_list():
    from bench.cli.run import main as command

    (option,) = (param for param in command.params if param.name == "methods")
    found = [item.value for item in option.type.shell_complete(None, option, "dwconv7,dwconv1")]
    assert found == ["dwconv7,dwconv13"]


def test_env_names_the_machine():
    facts = json.loads(bench("env", "--json").output)
    assert facts["torch"]
    assert facts["cores"] >= 1
    assert len(facts["id"]) == 16
