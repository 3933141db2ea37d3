import pytest

from rca_benchmark.dataset import find_cases, read_case
from rca_benchmark.errors import BenchError, MethodFailed
from rca_benchmark.evaluation.results import SCHEMA, read_results, to_frame, write_results
from rca_benchmark.evaluation.runner import derive_seed, evaluate, run_method
from rca_benchmark.evaluation.scoring import average_at_5, chance_average_at_5
from rca_benchmark.methods import Method, Ranking, get_method


def run(refs, methods=("baro", "nsigma", "random"), **options):
    settings = {"seed": 0, "workers": 1, "done": lambda _ref: None} | options
    return evaluate(refs, methods, **settings)


def comparable(table):
    return table.drop_columns(["seconds"]).to_pylist()


def toy(function):
    return Method("toy", function, frozenset({"metrics"}), "none", False, False)


@pytest.fixture
def case(make_dataset):
    return read_case(find_cases(make_dataset(1))[0])


def test_one_row_per_case_and_method(make_dataset):
    done = []
    table = run(find_cases(make_dataset(2)), done=done.append)
    assert table.schema == SCHEMA
    assert table.num_rows == 6
    assert len(done) == 2
    row = table.to_pylist()[0]
    assert (row["dataset"], row["case"], row["method"]) == ("demo", "cpu-ray-head-0", "baro")
    assert (row["fault"], row["target"], row["status"]) == ("cpu", "ray-head", "ok")
    assert (row["rank_service"], row["candidates"], row["candidate_indicators"]) == (1, 4, 8)
    assert row["services"][0] == "ray-head"
    assert row["indicators"].index("ray-head_cpu") + 1 == row["rank_indicator"]
    assert row["seconds"] > 0


def test_results_depend_neither_on_order_nor_on_workers(make_dataset):
    refs = find_cases(make_dataset(3))
    alone = comparable(run(refs))
    assert comparable(run(refs, workers=2)) == alone
    backwards = run(refs[::-1], methods=("random", "nsigma", "baro"))
    assert comparable(backwards)[::-1] == alone


def test_the_seed_changes_what_chance_decides(make_dataset):
    refs = find_cases(make_dataset(2))
    first, second = comparable(run(refs)), comparable(run(refs, seed=1))
    assert first != second
    assert [row["indicators"] for row in first if row["method"] == "baro"] == [
        row["indicators"] for row in second if row["method"] == "baro"
    ]


def test_seeds_fit_their_column():
    seeds = {derive_seed(seed, "ab", name) for seed in range(50) for name in ("a", "b")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_bad_case_is_an_error_row_for_each_method(make_dataset):
    root = make_dataset(2)
    (root / "cpu-ray-head-0" / "metrics.parquet").write_bytes(b"")
    rows = run(find_cases(root)).to_pylist()
    assert [row["status"] for row in rows] == ["error"] * 3 + ["ok"] * 3
    assert "metrics.parquet" in rows[0]["reason"]
    assert rows[0]["fault"] is None


def fail(_observation, _rng):
    raise MethodFailed("too few rows")


def crash(_observation, _rng):
    raise ZeroDivisionError("oops")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (fail, "too few rows"),
        (crash, "ZeroDivisionError: oops"),
        (lambda *_: ["ray-head_cpu"], "answered with a list"),
        (lambda *_: Ranking(()), "empty ranking"),
        (lambda *_: Ranking(("ray-head_cpu", "ray-head_cpu")), "repeats an indicator"),
        (lambda *_: Ranking(("ray-head_gpu",)), "ray-head_gpu, which is no indicator"),
    ],
)
def test_a_method_that_cannot_answer_is_a_failed_row(case, function, reason):
    row = run_method(toy(function), case, 0)
    assert row["status"] == "failed"
    assert reason in row["reason"]
    assert "rank_service" not in row


def test_an_answer_without_the_target_has_no_rank(case):
    row = run_method(toy(lambda *_: Ranking(("nginx-proxy_cpu",))), case, 0)
    assert (row["status"], row["rank_service"], row["rank_indicator"]) == ("ok", None, None)


def test_an_unknown_method_is_refused(make_dataset):
    with pytest.raises(BenchError, match="no method x"):
        run(find_cases(make_dataset(1)), methods=("x",))


def test_results_are_written_and_read_back(tmp_path, make_dataset):
    table = run(find_cases(make_dataset(1)))
    write_results(table, tmp_path / "out")
    assert read_results(tmp_path / "out").equals(to_frame(table))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.parquet"]


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_results_that_cannot_be_read_are_named(tmp_path, content):
    if content:
        (tmp_path / "results.parquet").write_bytes(content)
    with pytest.raises(BenchError, match=r"results\.parquet: cannot be read"):
        read_results(tmp_path)


def test_random_scores_what_chance_predicts(case):
    """2,000 draws: the mean Avg@5 lies in the 99 % interval around chance."""
    scores = []
    for seed in range(2000):
        row = run_method(get_method("random"), case, seed)
        scores.append(average_at_5(row["rank_service"]))
    chance = chance_average_at_5(4)
    mean = sum(scores) / len(scores)
    variance = sum((average_at_5(rank) - chance) ** 2 for rank in (1, 2, 3, 4)) / 4
    assert abs(mean - chance) < 2.576 * (variance / len(scores)) ** 0.5


@pytest.mark.parametrize("method", ["baro", "nsigma"])
@pytest.mark.parametrize("fault", ["cpu", "mem"])
def test_real_faults_are_found(fault_data, method, fault):
    """Sock Shop 1: published Avg@5 is .99 for BARO and .98/.99 for N-sigma (ASE 2024, Table 5)."""
    refs = [ref for ref in find_cases(fault_data / "rcd-ss") if f"_{fault}/" in ref.name]
    assert len(refs) == 10
    ranks = run(refs, (method,)).column("rank_service").to_pylist()
    assert sum(average_at_5(rank) for rank in ranks) / len(ranks) >= 0.97
