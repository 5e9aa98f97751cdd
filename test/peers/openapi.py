"""A client that openapi-python-client made of /openapi.json, as a researcher uses it: openapi.py CLIENT_FOLDER URL DEVICE"""

import sys

folder, url, device = sys.argv[1:]
sys.path.insert(0, folder)

from tidemark_client import Client  # noqa: E402
from tidemark_client.api.devices import get_coverage, get_device, list_devices  # noqa: E402
from tidemark_client.api.fhir import search_observations  # noqa: E402
from tidemark_client.api.log import get_evidence, get_proof, get_receipt, list_blocks  # noqa: E402
from tidemark_client.api.readings import query_readings  # noqa: E402

client = Client(base_url=url)
devices = list_devices.sync(client=client)
print("devices", sorted(item.id for item in devices.items), "complete", devices.complete)
print("kinds", sorted({series.kind for series in get_device.sync(device, client=client).series}))
print("block", list_blocks.sync(client=client).items[0].height)
readings = query_readings.sync(client=client, device=[device], metric=["heart-rate"], limit=2)
print("readings", [isinstance(item.value, (int, float)) for item in readings.items])
coverage = get_coverage.sync(client=client, device=device)
print("coverage", [metric.metric for metric in coverage.metrics if metric.metric == "heart-rate"])
entry = readings.items[0].entry
print("proof", get_proof.sync(entry, client=client).split("\n")[0])
# Bytes, by the name that such clients know.
files = Client(base_url=url, headers={"accept": "application/octet-stream"})
for name, answer in (
    ("evidence", get_evidence.sync(client=files, device=device)),
    ("receipt", get_receipt.sync(entry, client=files)),
):
    data = answer.payload.read()
    print(name, "bytes" if len(data) > 100 else data)
print("fhir", search_observations.sync_detailed(client=client, device=[device], field_count=1).status_code.value)
