"""Every verdict on every simulated cluster is the one it has to be."""

from __future__ import annotations

import pytest

from conformance import checks, scenarios
from conformance.simulator import defects, expectations, profiles, scenario_expectations
from tests.conformance import fidelity

# A run against a good cluster makes about 1,500, the three workloads included; one that waits for what never
# comes asks more often.
REQUESTS_IN_A_RUN = 2000


def test_every_profile_was_thought_of() -> None:
    assert {name for name in expectations.ROWS if ":" not in name} == defects.table().keys()
    assert expectations.GOOD.keys() == set(profiles.VERSIONS)


def test_rows_name_what_there_is() -> None:
    known = {*checks.load(), "*"}

    assert {name for row in expectations.ROWS.values() for name in row} <= known
    assert set(expectations.SCENARIOS) == set(scenarios.load())
    for table in scenario_expectations.PLAYED.values():
        assert set(table) <= set(expectations.ROWS)


@pytest.mark.parametrize("check_id", [*checks.load(), *expectations.SCENARIOS])
def test_every_check_has_a_cluster_that_passes_one_that_fails_and_one_that_cannot_be_told(
    check_id: str,
) -> None:
    seen = {expectations.expected(name).get(check_id) for name in expectations.names()}

    assert "pass" in seen
    assert "fail" in seen
    assert seen & {"error", "unknown"}


# Other tests run beside it: as many runs at a time as `make fidelity` takes would make both late.
WORKERS = 4


@pytest.mark.cluster
@pytest.mark.xdist_group("matrix")
@pytest.mark.timeout(3000)
def test_no_cell_of_the_matrix_is_wrong() -> None:
    names = list(expectations.names())
    matrix = fidelity.measure(names, workers=WORKERS)

    assert matrix.wrong() == []
    assert matrix.cells > len(names) * 9
    assert [row for row in matrix.rows.values() if row.requests > REQUESTS_IN_A_RUN] == []


def test_difference_is_shown_and_told() -> None:
    wanted = expectations.expected("device-leak")
    row = fidelity.Row("device-leak", {**wanted, "robust_controller": "fail"}, {}, ("pods/x",), 1, 0.0)
    matrix = fidelity.Matrix()
    matrix.add(row)

    assert matrix.wrong() == [
        "device-leak: robust_controller is fail (), expected pass",
        "device-leak: pods/x was left behind",
    ]
    assert "P>F" in fidelity.show(matrix)
