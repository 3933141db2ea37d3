from rca_benchmark.report.leaderboard import build_leaderboard
from rca_benchmark.report.table import leaderboard_markdown, leaderboard_tables


def board(results_of, row):
    rows = (row(2, method="nsigma"), row(1), row(5, method="random"))
    return build_leaderboard(results_of(*rows))


def test_the_table_puts_the_best_method_first(results_of, row):
    [table] = leaderboard_tables(board(results_of, row))
    assert list(table.columns[0].cells) == ["baro", "nsigma", "random"]
    assert list(table.columns[1].cells) == ["yes", "yes", "no"]


def test_markdown_states_cases_chance_interval_and_who_is_told(results_of, row):
    lines = leaderboard_markdown(board(results_of, row)).splitlines()
    assert "## demo: service level, cases: 1" in lines
    best = next(line for line in lines if line.startswith("| baro"))
    cells = [cell.strip() for cell in best.strip("|").split("|")]
    assert cells[:4] == ["baro", "yes", "1", "0"]
    assert cells[4:8] == ["1.00"] * 4
    assert cells[8:] == ["0.21-1.00", "0.60", "+0.40", "1.00", "0.5"]


def test_markdown_escapes_names(results_of, row):
    text = leaderboard_markdown(build_leaderboard(results_of(row(1, dataset="a|b_c"))))
    assert "## a\\|b\\_c: " in text
