from importlib import resources

import pytest
import yaml

from rca_benchmark.errors import ExportError
from rca_benchmark.export import indicators
from rca_benchmark.export.indicators import Query, read_catalogue


def test_every_entry_says_what_it_is():
    for query in read_catalogue("local"):
        assert query.unit
        assert query.meaning
        assert "_" not in query.metric
        assert "by (service" in query.query


def test_columns_are_those_of_the_services_that_match():
    query = Query("ttft-90", "s", "", "", "service", "ray-replicas-*")
    assert query.columns(("nginx-proxy", "ray-replicas-0")) == ["ray-replicas-0_ttft-90"]


ENTRY = {"metric": "cpu", "unit": "1", "meaning": "m", "query": "q", "kind": "service"}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([ENTRY, ENTRY], "metric occurs twice"),
        ([ENTRY | {"kind": "pod"}], "kind must be"),
        ([ENTRY | {"colour": "red"}], "colour"),
        ([{"metric": "cpu"}], "missing"),
    ],
)
def test_a_broken_catalogue_is_refused(tmp_path, monkeypatch, entries, message):
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "local.yaml").write_text(yaml.safe_dump(entries))
    monkeypatch.setattr(indicators.resources, "files", lambda _package: tmp_path)
    with pytest.raises(ExportError, match=message):
        read_catalogue("local")


def test_the_catalogue_ships_with_the_package():
    assert (resources.files("rca_benchmark.export") / "queries" / "local.yaml").is_file()
