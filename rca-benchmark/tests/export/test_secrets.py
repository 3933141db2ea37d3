import pandas as pd
import pytest

from rca_benchmark.export.secrets import mask_secrets


def masked(text):
    messages, count = mask_secrets(pd.Series([text], dtype="str"))
    assert count == (messages[0] != text)
    return messages[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET http://bob:hunter2@db:80/x", "GET http://bob:***@db:80/x"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ('"authorization": "Basic Ym9iOmh1bnRlcjI="', '"authorization": "Basic ***"'),
        ("sent bearer 0123456789abcdef0123", "sent bearer ***"),
        ("HF_TOKEN=abc123 started", "HF_TOKEN=*** started"),
        ('{"api_key": "k-1", "n": 2}', '{"api_key": "***", "n": 2}'),
        ("x?password=a&b=1", "x?password=***&b=1"),
        ("key sk-0123456789abcdef0123", "key ***"),
        ("model pulled with hf_ABCDEFGHIJKLMNOPQRST", "model pulled with ***"),
        ("ghp_0123456789012345678901", "***"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "***"),
    ],
)
def test_secrets_are_masked(text, expected):
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "prompt tokens: 128, completion tokens: 12",
        "max_tokens=256 temperature=0.7",
        "GET /v1/completions 200",
        "tokenizer loaded from disk-0123",
        "http://10.0.0.1:8000/v1 answered",
        "secretary called",
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    assert masked(text) == text


def test_only_messages_that_changed_are_counted():
    messages = pd.Series(["password=x", "fine", "api-key: y"], dtype="str", index=[5, 6, 7])
    found, count = mask_secrets(messages)
    assert count == 2
    assert found.to_dict() == {5: "password=***", 6: "fine", 7: "api-key: ***"}
