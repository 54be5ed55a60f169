"""What dead runs left is found by its label, removed and named."""

from __future__ import annotations

import pytest

from conformance.context import RUN_LABEL, run_label
from conformance.sweeping import sweep_up
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster


def test_leftovers_of_one_run_are_removed_and_named() -> None:
    with world.occupied("conformant-1.36") as cluster:
        world.make_namespace(cluster, "certportal-dead-1", {RUN_LABEL: run_label("dead")})
        world.make_namespace(cluster, "certportal-dead-2", {RUN_LABEL: run_label("dead")})
        world.make_namespace(cluster, "certportal-alive", {RUN_LABEL: run_label("alive")})
        world.make_namespace(cluster, "vendors-own")

        with world.connected(cluster) as connection:
            swept = sweep_up(connection, "dead")
            again = sweep_up(connection, "dead")

        left = {item["metadata"]["name"] for item in cluster.store.list("namespaces")}

    assert swept.removed == ("namespaces/certportal-dead-1", "namespaces/certportal-dead-2")
    assert swept.cleanup.complete
    assert again.removed == ()
    assert {"certportal-alive", "vendors-own"} <= left
    assert not {"certportal-dead-1", "certportal-dead-2"} & left
