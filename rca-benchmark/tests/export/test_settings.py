import pytest

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import Window
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.settings import back_ends, read_settings

NONE = dict.fromkeys(("prometheus", "loki", "deepflow", "deepflow_app"))
CONFIG = """
namespace: llm
step_seconds: 10
prometheus: {url: "http://p:9090", timeout_s: 5, attempts: 2}
loki: {url: "http://l:3100", selector: '{app="x"}'}
deepflow: {url: "http://d:20416"}
deepflow_app: {url: "http://a:20418"}
quality: {samples: 0.5, effect: sli}
"""


@pytest.fixture
def config(tmp_path):
    def write(text=CONFIG):
        path = tmp_path / "export.yaml"
        path.write_text(text)
        return path

    return write


def test_the_file_says_what_the_command_line_does_not(config):
    addresses = NONE | {"loki": "http://other:1"}
    settings = read_settings("kubernetes", config(), addresses)
    assert settings.servers["prometheus"].url == "http://p:9090"
    assert settings.servers["prometheus"].timeout_s == 5
    assert settings.servers["prometheus"].attempts == 2
    assert settings.servers["loki"].url == "http://other:1"
    assert settings.selector == '{app="x"}'
    assert settings.catalogue.step_s == 10
    assert 'namespace="llm"' in settings.catalogue.queries[0].query
    assert (settings.bars.samples, settings.bars.effect) == (0.5, "sli")


def test_every_server_is_asked(config):
    settings = read_settings("kubernetes", config(), NONE)
    ends = back_ends(settings, Window(0, 10**11), Placement(), None, original=True)
    names = ["prometheus", "scraping", "original-series", "loki", "deepflow"]
    assert [end.name for end in ends] == names
    plan = ends[-1].plan(Window(0, 10**11))
    assert "pod_ns_0 = 'llm'" in plan[0][1]
    assert "once per trace" in plan[1][1]


def test_without_a_file_the_platform_decides(tmp_path):
    settings = read_settings("local", None, NONE, logs=tmp_path)
    ends = back_ends(settings, Window(0, 10**11), Placement(), None, original=False)
    assert [end.name for end in ends] == ["nginx", "logs"]
    assert settings.selector == '{namespace="ray"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must be a mapping"),
        ("colour: red", "unknown setting colour"),
        ("loki: http://x", "loki must be a mapping"),
        ("quality: {colour: 1}", "quality: .*colour"),
        ("quality: {samples: 2}", "samples is 2"),
        ("step_seconds: 0.5", "step_seconds must be a whole number"),
        ('namespace: "a\' OR 1"', "is no name of Kubernetes"),
        ("a: [", "cannot be read"),
        ("prometheus: {url: nowhere}", "prometheus: 'nowhere' is no address"),
    ],
)
def test_a_broken_file_is_named(config, tmp_path, text, message):
    with pytest.raises(ExportError, match=message):
        read_settings("local", config(text), NONE, logs=tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"none\.yaml: cannot be read"):
        read_settings("local", tmp_path / "none.yaml", NONE)


def test_without_metrics_there_is_nothing_to_export():
    with pytest.raises(ExportError, match="no source of metrics"):
        read_settings("kubernetes", None, NONE | {"loki": "http://x:1"})
