"""ThingsBoard's own IoT gateway, unchanged, with its MQTT connector and a broker of its own (mosquitto)."""

import json
import os
import shutil
import socket
import subprocess
import time

import paho.mqtt.client as paho
import pytest

from clients import Paho, venv_python
from rest import Person
from server import until
from test_gateway import child, new_gateway

pytestmark = pytest.mark.process

SENSORS = ["north", "south"]
READINGS = 400


class Broker:
    """A mosquitto for the sensors of one building."""

    def __init__(self, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (home / "mosquitto.conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (home / "mosquitto.log").open("wb") as log:
            self.process = subprocess.Popen([binary, "-c", home / "mosquitto.conf"], stdout=log, stderr=log)
        until("the broker listens", self.is_up, 30)

    def is_up(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self):
        client = Paho(("127.0.0.1", self.port), paho.MQTTv311, None)
        assert not client.connect().is_failure
        return client

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class IotGateway:
    """The gateway's process with its configuration."""

    def __init__(self, home, server, token, broker):
        self.home, self.config = home, home / "config"
        self.config.mkdir()
        (home / "logs").mkdir()
        self.write("tb_gateway.json", {
            "thingsboard": {
                "host": "127.0.0.1", "port": server.mqtt_port, "remoteShell": False, "remoteConfiguration": False,
                "latencyDebugMode": True, "qos": 1, "minPackSendDelayMS": 10,
                "statistics": {"enable": False}, "checkConnectorsConfigurationInSeconds": 600,
                "security": {"type": "accessToken", "accessToken": token},
            },
            "storage": {"type": "memory", "read_records_count": 100, "max_records_count": 100_000},
            "grpc": {"enabled": False},
            "connectors": [{"type": "mqtt", "name": "building", "configuration": "mqtt.json"}],
        })
        device = {"deviceNameExpressionSource": "topic", "deviceNameExpression": "(?<=sensor/)(.*?)(?=/data)",
                  "deviceProfileExpressionSource": "constant", "deviceProfileExpression": "thermometer"}
        self.write("mqtt.json", {
            "broker": {"host": "127.0.0.1", "port": broker.port, "clientId": "building", "version": 4,
                       "maxMessageNumberPerWorker": 10, "maxNumberOfWorkers": 1,
                       "security": {"type": "anonymous"}},
            "mapping": [{
                "topicFilter": "sensor/+/data", "subscriptionQos": 1,
                "converter": {
                    "type": "json", "deviceInfo": device, "sendDataOnlyOnChange": False, "timeout": 60_000,
                    "attributes": [{"type": "string", "key": "model", "value": "${model}"}],
                    "timeseries": [{"type": "integer", "key": "n", "value": "${n}"}],
                },
            }],
            "requestsMapping": {
                "connectRequests": [], "disconnectRequests": [], "attributeRequests": [],
                "attributeUpdates": [{
                    "deviceNameFilter": ".*", "attributeFilter": "limit", "retain": False,
                    "topicExpression": "sensor/${deviceName}/limit", "valueExpression": "${attributeValue}",
                }],
                "serverSideRpc": [{
                    "type": "twoWay", "deviceNameFilter": ".*", "methodFilter": "echo",
                    "requestTopicExpression": "sensor/${deviceName}/request/${methodName}/${requestId}",
                    "responseTopicExpression": "sensor/${deviceName}/response/${methodName}/${requestId}",
                    "responseTopicQoS": 1, "responseTimeout": 20_000, "valueExpression": "${params}",
                }],
            },
        })
        names = ["service", "connector", "converter", "tb_connection", "storage", "extension"]
        loggers = {name: {"handlers": ["stream"], "level": "INFO", "propagate": False} for name in names}
        self.write("logs.json", {
            "version": 1, "disable_existing_loggers": False,
            "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "plain", "level": 0,
                                    "stream": "ext://sys.stdout"}},
            "root": {"handlers": ["stream"], "level": "INFO"}, "loggers": loggers,
        })
        python = venv_python("iot-gateway")
        environment = os.environ | {"TB_GW_CONFIG_DIR": str(self.config)}
        line = [python, "-c", "from thingsboard_gateway.tb_gateway import main; main()"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=home,
                                            env=environment)

    def write(self, name, content):
        (self.config / name).write_text(json.dumps(content))

    @property
    def log_path(self):
        return self.home / "gateway.log"

    def log(self):
        return self.log_path.read_text(errors="replace")[-5000:]

    def stop(self):
        self.process.kill()
        self.process.wait(20)


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def house(own):
    """A server that comes back under the same address."""
    server = own().start()
    server.arguments += ["--set", f"mqtt.bind=127.0.0.1:{server.mqtt_port}"]
    return server


def administrator(server):
    return Person.login(server.url, "tenant@thingsboard.org", "tenant")


def history(person, name):
    """What a sensor's device was told, in order of time."""
    device = child(person, name)
    return [int(value) for _, value in device.history("n", 0, 2**50)]


@pytest.mark.timeout(400)
def test_the_iot_gateway_reports_answers_and_outlives_a_server(house, broker, tmp_path):
    person = administrator(house)
    gateway = new_gateway(person)
    iot = IotGateway(tmp_path, house, gateway.token, broker)
    try:
        sensor = broker.client()
        # Until the gateway listens to the broker and its server, what it misses is nobody's.
        until("the first reading is there", lambda: hello(sensor, person, iot), 120, 0.5)
        report(house, person, iot, sensor)
        converse(administrator(house), gateway, sensor)
    except AssertionError as failure:
        raise AssertionError(f"{failure}\n{iot.log()}") from failure
    finally:
        iot.stop()


def hello(sensor, person, iot):
    assert iot.process.poll() is None, iot.log()
    for name in SENSORS:
        sensor.publish(f"sensor/{name}/data", {"model": "m1", "n": 0})
    return all((found := child(person, name)) and "n" in found.latest("n") for name in SENSORS)


def report(house, person, iot, sensor):
    """No reading is lost or doubled, though the server dies in between and comes back."""
    for name in SENSORS:
        device = child(person, name)
        assert device.body["type"] == "thermometer"
        until("its attribute is kept", lambda: device.attributes().get("model") == "m1")
    begin = time.time_ns() // 1_000_000
    for n in range(1, READINGS + 1):
        if n == READINGS // 2:
            house.kill()
        if n == READINGS * 3 // 4:
            house.restart()
        for name in SENSORS:
            # The gateway stamps what it takes over together alike, so readings bring their times.
            sensor.publish(f"sensor/{name}/data", {"model": "m1", "n": n, "ts": begin + n})
    person = administrator(house)
    expected = list(range(1, READINGS + 1))

    missing = {name: expected for name in SENSORS}

    def all_are_there():
        assert iot.process.poll() is None, iot.log()
        for name in SENSORS:
            missing[name] = sorted(set(expected) - set(history(person, name)))
        return not any(missing.values())

    try:
        until("every reading is there", all_are_there, 60, 0.2)
    except AssertionError as failure:
        raise AssertionError(f"{failure}; missing: {missing}") from failure
    for name in SENSORS:
        assert [n for n in history(person, name) if n] == expected, name


def converse(person, gateway, sensor):
    """Calls and changes of attributes reach the sensors, after the restart too."""
    sensor.subscribe([("sensor/+/request/#", 1), ("sensor/+/limit", 1)])
    device = child(person, "north")
    sensor.client.on_message = lambda c, _, m: sensor.told.put(("message", (m.topic, m.payload, m.qos))) or (
        c.publish(m.topic.replace("/request/", "/response/"), json.dumps({"heard": m.payload.decode()}), 1)
        if "/request/" in m.topic else None)
    answer = person.post(f"/api/rpc/twoway/{device.id}", {"method": "echo", "params": "ping", "timeout": 20_000})
    assert answer.status_code == 200, answer.text
    assert "ping" in json.dumps(answer.json())
    assert sensor.wait("message")[0].startswith("sensor/north/request/echo/")
    person.ok("POST", f"{device.data}/SHARED_SCOPE", {"limit": 7})
    topic, payload, _ = sensor.wait("message", 30)
    assert (topic, payload) == ("sensor/north/limit", b"7")
