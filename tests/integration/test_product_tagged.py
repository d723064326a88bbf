"""Tables found by their tags, the whole way: one joins while the stages run, one loses its tags."""

from __future__ import annotations

import pytest
from deltalake import DeltaTable

from tests.integration.conftest import HEAD
from tests.parts.waiting import wait_until
from tests.product.workload import ORDERS, Workload

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(240)]

TAGGED = (
    HEAD
    + """
@transform(
    input_mapping={{"orders": Input(Stream(source=DynamoDBSource(
        table_tags={{"team": "{table}"}}, region="us-west-2")))}},
    output_mapping={{"out": Output(Dataset(id="{dataset}"))}},
)
def tagged_{number}(orders):
    return orders.select("dynamodb.NewImage.c.N", "dynamodb.NewImage.status.S")
"""
)


def rows_of(made) -> dict[str, str]:
    """The table of each row, by key."""
    if not DeltaTable.is_deltatable(made.uri):
        return {}
    table = DeltaTable(made.uri).to_pyarrow_table(columns=["_key", "_table"])
    return {row["_key"]: row["_table"] for row in table.to_pylist()}


def keys_of(work: Workload) -> set[str]:
    return {f'["{work.table}",{{"orderId":{{"S":"k-{number}"}}}}]' for number in work.live}


@pytest.mark.needs("tags")
def test_tables_join_by_their_tags(product):
    made = product(text=TAGGED, existing=20, keys=30)
    client, first = made.workload.client, made.workload.table
    tags = [{"Key": "team", "Value": first}]

    def arn(table: str) -> str:
        return client.describe_table(TableName=table)["Table"]["TableArn"]

    made.pipeline.start()
    wait_until(
        lambda: "waiting" in made.pipeline.stages["sink"].log_tail(50),
        timeout_s=60,
        what=f"the sink to wait for a table\n{made.pipeline.logs()}",
    )
    ORDERS.create(client, f"{first}-other", stream=True)
    client.tag_resource(ResourceArn=arn(first), Tags=tags)

    def settled(*works: Workload) -> bool:
        wanted = set().union(*map(keys_of, works))
        return set(rows_of(made)) == wanted

    wait_until(
        lambda: settled(made.workload),
        timeout_s=90,
        what=f"the first table's items\n{made.pipeline.logs()}",
    )
    pids = {name: stage.pid for name, stage in made.pipeline.stages.items()}
    second = Workload(client, f"{first}-2", ORDERS, keys=30, seed=2)
    ORDERS.create(client, second.table, stream=True)
    second.fill(15)
    client.tag_resource(ResourceArn=arn(second.table), Tags=tags)
    wait_until(
        lambda: settled(made.workload, second),
        timeout_s=90,
        what=f"the second table's items\n{made.pipeline.logs()}",
    )
    client.untag_resource(ResourceArn=arn(first), TagKeys=["team"])
    made.workload.run(60)
    second.run(60)
    wait_until(
        lambda: settled(made.workload, second),
        timeout_s=90,
        what=f"changes of both\n{made.pipeline.logs()}",
    )
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
    assert {name: stage.pid for name, stage in made.pipeline.stages.items()} == pids
    wait_until(
        lambda: DeltaTable(made.uri).metadata().configuration["tailrace.snapshot"] == "sealed",
        timeout_s=60,
        what="the snapshots of both to be sealed",
    )
