"""The management client: register images, start instances, wait for results, from any process.

async with Client.connect("host:8002", token=token, ca=ca) as client:
    handle = await client.start_instance("order-processing", input={"order": 1})
    print(await handle.result(timeout_s=60))
"""

from runtara.client.client import Client
from runtara.client.handle import InstanceHandle, ResultTimeout
from runtara.client.records import (
    Checkpoint,
    Event,
    Health,
    Image,
    Instance,
    InstanceCancelled,
    InstanceFailed,
    LogChunk,
    NewToken,
    StartedInstance,
    Token,
)
from runtara.client.steps import StepSummary

__all__ = (
    "Checkpoint",
    "Client",
    "Event",
    "Health",
    "Image",
    "Instance",
    "InstanceCancelled",
    "InstanceFailed",
    "InstanceHandle",
    "LogChunk",
    "NewToken",
    "ResultTimeout",
    "StartedInstance",
    "StepSummary",
    "Token",
)
