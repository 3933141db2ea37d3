"""What a method is given leads to no ground truth, whatever it looks at."""

import dataclasses
import gc
import types
from pathlib import Path

import pandas as pd
import pytest

from rca_benchmark.case import Case, GroundTruth, Injection
from rca_benchmark.dataset import CaseRef, find_cases, native, read_case, read_observation
from rca_benchmark.dataset.convert import convert
from rca_benchmark.dataset.index import write_index
from rca_benchmark.errors import CaseError

FAULT = "very-secret-fault"
SECRETS = ("very-secret", "SecretCase", "SecretSet")
CODE = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def reachable(root):
    """Every object that hangs on another one, code and classes aside."""
    seen, queue = {}, [root]
    while queue:
        found = queue.pop()
        if id(found) in seen or isinstance(found, CODE):
            continue
        seen[id(found)] = found
        queue += gc.get_referents(found)
        if isinstance(found, pd.DataFrame):
            queue += [found.attrs, found.flags, *found.columns, *found.dtypes]
            queue += [value for name in found for value in found[name].tolist()]
    return list(seen.values())


def write(root, observation, truth):
    injection = dataclasses.replace(truth.injection, evidence={"secret": FAULT})
    truth = dataclasses.replace(truth, fault=FAULT, indicator=None, injection=injection)
    settings = {"attachments": {}, "absent": (), "quality": {"notes": [FAULT]}}
    native.write_case(root / "SecretCase", observation, truth, **settings)


@pytest.fixture(params=["native", "indexed", "rcaeval"])
def ref(request, tmp_path, make_observation, truth):
    root = tmp_path / "SecretSet"
    write(root, make_observation(sli="nginx-proxy_latency-90"), truth)
    if request.param == "indexed":
        write_index(root, name="SecretSet", version="1", licence="MIT")
    if request.param == "rcaeval":
        facts = {"name": "SecretSet", "version": "1", "licence": "MIT"}
        convert(root, "rcaeval", tmp_path / "SecretSet2", **facts, done=lambda _name: None)
        root = tmp_path / "SecretSet2"
    return find_cases(root)[0]


def test_nothing_that_hangs_on_an_observation_tells_the_truth(ref):
    case = read_case(ref)
    for observation in (case.observation, read_observation(ref.path)):
        things = reachable(observation)
        assert len(things) > 100
        assert not [thing for thing in things if isinstance(thing, Case | GroundTruth | Injection)]
        assert not [thing for thing in things if isinstance(thing, Path | CaseRef)]
        texts = [thing for thing in things if isinstance(thing, str)]
        texts += [thing.decode(errors="ignore") for thing in things if isinstance(thing, bytes)]
        assert not [text for text in texts if any(secret in text for secret in SECRETS)]
        assert case.digest not in texts


def test_the_walk_would_find_the_truth(ref):
    things = reachable(read_case(ref))
    assert any(isinstance(thing, GroundTruth) for thing in things)
    assert FAULT in things


def test_an_observation_has_the_same_fields_whatever_is_true(ref):
    names = {field.name for field in dataclasses.fields(read_observation(ref.path))}
    assert not names & {"name", "path", "dataset", "digest", "truth", "service", "fault", "notes"}
    assert set(vars(read_observation(ref.path))) == names


def test_the_truth_does_not_change_what_is_observed(tmp_path, make_observation, truth):
    observation = make_observation()
    for name, service in (("one", "ray-head"), ("two", "nginx-proxy")):
        changed = dataclasses.replace(truth, service=service, fault=name, indicator=None)
        settings = {"attachments": {}, "absent": (), "quality": {}}
        native.write_case(tmp_path / name, observation, changed, **settings)
    first, second = (read_observation(tmp_path / name) for name in ("one", "two"))
    for name, value in vars(first).items():
        other = getattr(second, name)
        assert value.equals(other) if isinstance(value, pd.DataFrame) else value == other


def test_attrs_are_dropped_on_reading_and_refused_otherwise(tmp_path, make_observation, truth):
    observation = make_observation()
    metrics = observation.metrics.copy()
    metrics.attrs["fault"] = FAULT
    with pytest.raises(CaseError, match="a table holds attrs: fault"):
        dataclasses.replace(observation, metrics=metrics)
    write(tmp_path, observation, truth)
    metrics.to_parquet(tmp_path / "SecretCase" / "metrics.parquet")
    assert read_observation(tmp_path / "SecretCase").metrics.attrs == {}
