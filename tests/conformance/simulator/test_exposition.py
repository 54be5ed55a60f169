"""Metrics in the text format and the queries the simulated Prometheus answers."""

from __future__ import annotations

import pytest

from conformance.simulator.exposition import QueryError, Sample, evaluated, parsed

TEXT = """\
# HELP requests_total All of them.
# TYPE requests_total counter
requests_total{path="/a b",note="q\\"uo\\\\te\\n"} 3
# TYPE seconds histogram
seconds_bucket{le="+Inf"} 4 1700000000000
seconds_count 4
# TYPE level gauge
level 1.5e3
lonely -2
broken line here
"""


def test_samples_come_with_the_type_of_their_family():
    found = [(sample.labels, sample.value, kind) for sample, kind in parsed(TEXT)]

    assert found == [
        ({"__name__": "requests_total", "path": "/a b", "note": 'q"uo\\te\n'}, 3, "counter"),
        ({"__name__": "seconds_bucket", "le": "+Inf"}, 4, "histogram"),
        ({"__name__": "seconds_count"}, 4, "histogram"),
        ({"__name__": "level"}, 1500, "gauge"),
        ({"__name__": "lonely"}, -2, "untyped"),
    ]


SAMPLES = [
    Sample({"__name__": "up", "job": "a"}, 1),
    Sample({"__name__": "up", "job": "b"}, 0),
    Sample({"__name__": "other", "job": "b"}, 7),
]


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("vector(1)", [1]),
        ("up", [1, 0]),
        ('up{job="b"}', [0]),
        ('{job="b"}', [0, 7]),
        ('{__name__=~"o.*"}', [7]),
        ('up{job!="a"}', [0]),
        ('up{job!~"a|b"}', []),
        ('up{job=~"a|b", missing=""}', [1, 0]),
        ("sum(up)", [1]),
        ('count({job="b"})', [2]),
        ("max(up)", [1]),
        ("min(up)", [0]),
        ("avg(up)", [0.5]),
        ("sum(nothing)", []),
        ("nothing", []),
    ],
)
def test_queries(query, result):
    assert [sample.value for sample in evaluated(query, SAMPLES)] == result


@pytest.mark.parametrize("query", ["", "rate(up[5m])", "up{job}", "up +", "{job='a'}"])
def test_queries_that_cannot_be_read_are_refused(query):
    with pytest.raises(QueryError):
        evaluated(query, SAMPLES)
