"""Runs an edge node of pysparkplug by commands: a line of JSON each, answered by lines of JSON.

HOST PORT TOKEN GROUP NODE: an edge node with one device D. It tells what it is commanded, and is born again when it is
asked to.
"""

import json
import os
import sys
import threading

import pysparkplug as spb

lock = threading.Lock()


def tell(what, value=None):
    with lock:
        print(json.dumps({"what": what, "value": value}, default=str), flush=True)


def metric(name, kind, value):
    return spb.Metric(timestamp=spb.get_current_timestamp(), name=name, datatype=spb.DataType[kind], value=value)


def heard(who):
    return lambda _, message: tell("command", [who, [[it.name, it.datatype.name, it.value]
                                                     for it in message.payload.metrics]])


def main(host, port, token, group, node):
    client = spb.Client(client_id=f"pysparkplug-{group}", username=token)
    edge = spb.EdgeNode(group, node, client=client, cmd_callback=heard("node"), metrics=[
        metric("Node Control/Rebirth", "BOOLEAN", False), metric("load", "DOUBLE", 0.25),
        metric("serial", "STRING", "A7"), metric("flags", "BOOLEAN_ARRAY", (True, False, True)),
        metric("small", "INT8", -1), metric("large", "UINT64", 2**63)])
    edge.register(spb.Device("D", cmd_callback=heard("device"), metrics=[
        metric("speed", "INT16", -3), metric("on", "BOOLEAN", False)]))
    edge.connect(host, port=int(port), keepalive=5)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "update":
            edge.update([metric(*it) for it in command["metrics"]])
        elif command["do"] == "update_device":
            edge.update_device("D", [metric(*it) for it in command["metrics"]])
        elif command["do"] == "deregister":
            edge.deregister("D")
        elif command["do"] == "die":
            os._exit(1)
        elif command["do"] == "disconnect":
            edge.disconnect()
        tell("done", command["do"])


main(*sys.argv[1:])
