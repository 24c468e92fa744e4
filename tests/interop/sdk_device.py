"""Runs ThingsBoard's client for devices by commands: a line of JSON each, answered by lines of JSON.

A command names a method of the client with its arguments. With `callback` the method gets one under that name, and
what it is told is the answer; with `heard` the method's own result is, and each telling comes as `heard`.

With the option `gateway` it is ThingsBoard's client for gateways.

`provision HOST PORT OPTIONS` instead asks to be provisioned, tells what came of it, and ends.
"""

import json
import sys
import threading
import time

from tb_device_mqtt import TBDeviceMqttClient, TBPublishInfo
from tb_gateway_mqtt import TBGatewayMqttClient

lock = threading.Lock()


def tell(what, value=None):
    with lock:
        print(json.dumps({"what": what, "value": value}, default=str), flush=True)


def plain(value):
    """What a method says; a publication is waited for."""
    if isinstance(value, TBPublishInfo):
        return value.get()
    return value if isinstance(value, (bool, int, float, str, dict, list, type(None))) else str(value)


def is_ready(client, deadline):
    """Whether it has subscribed and knows its limits: its callback for connecting is set too late to be relied on."""
    while not (client.is_connected() and client.rate_limits_received):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def main(host, port, token, options):
    options = json.loads(options)
    kind = TBGatewayMqttClient if options.pop("gateway", False) else TBDeviceMqttClient
    client = kind(host, int(port), token, **options)
    client.connect()
    if not is_ready(client, time.monotonic() + 60):
        return tell("error", f"connected: {client.is_connected()}, knows its limits: {client.rate_limits_received}")
    tell("ready", client.is_connected())
    for line in sys.stdin:
        command = json.loads(line)
        method, heard = command["method"], command.get("heard")
        named = command["named"]
        if command.get("callback"):
            what = "heard" if heard else method
            named[command["callback"]] = lambda *told, what=what: tell(what, [plain(it) for it in told])
        try:
            attribute = getattr(client, method)
            value = plain(attribute(*command["arguments"], **named) if callable(attribute) else attribute)
        except Exception as error:  # whatever it is, the test shall see it
            tell("error", repr(error))
            continue
        if heard or not command.get("callback"):
            tell(method, value)
    client.disconnect()
    client.stop()


def provision(host, port, options):
    tell("provisioned", TBDeviceMqttClient.provision(host, port=int(port), **json.loads(options)))


if __name__ == "__main__":
    if sys.argv[1] == "provision":
        provision(*sys.argv[2:5])
    else:
        main(*sys.argv[1:5])
