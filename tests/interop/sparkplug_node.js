// Runs an edge node of sparkplug-client by commands: a line of JSON each, answered by lines of JSON.
// HOST PORT TOKEN GROUP NODE: an edge node with one device D, which obeys what it is commanded.
const readline = require("readline");
const sparkplug = require("sparkplug-client");

const [host, port, token, group, node] = process.argv.slice(2);
const tell = (what, value) => console.log(JSON.stringify({ what, value: value === undefined ? null : value }));
const time = () => Date.now();
const plain = (metrics) => metrics.map((it) => [it.name, it.type, it.value]);

const client = sparkplug.newClient({
  serverUrl: `mqtt://${host}:${port}`, username: token, password: "", groupId: group, edgeNode: node,
  clientId: `sparkplug-client-${group}`, keepalive: 5, publishDeath: true, mqttOptions: { reconnectPeriod: 500 },
});

function birth() {
  client.publishNodeBirth({
    timestamp: time(),
    metrics: [
      { name: "Node Control/Rebirth", type: "Boolean", value: false },
      { name: "load", type: "Double", value: 0.25 },
      { name: "table", type: "DataSet", value: {
        numOfColumns: 2, types: ["Int32", "String"], columns: ["n", "text"], rows: [[1, "a"], [2, "b"]],
      } },
      { name: "Motor", type: "Template", value: {
        isDefinition: true, version: "1", metrics: [{ name: "rpm", type: "Int32", value: 0 }], parameters: [],
      } },
    ],
  });
  client.publishDeviceBirth("D", {
    timestamp: time(),
    metrics: [
      { name: "speed", type: "Int32", value: 3, properties: { unit: { type: "String", value: "rpm" } } },
      { name: "motor", type: "Template", value: {
        isDefinition: false, templateRef: "Motor", version: "1",
        metrics: [{ name: "rpm", type: "Int32", value: 1500 }], parameters: [{ name: "poles", type: "Int32", value: 4 }],
      } },
    ],
  });
}

client.on("birth", () => { birth(); tell("born"); });
client.on("ncmd", (payload) => {
  if (payload.metrics.some((it) => it.name === "Node Control/Rebirth" && it.value)) birth();
  tell("command", ["node", plain(payload.metrics)]);
});
client.on("dcmd", (device, payload) => tell("command", [device, plain(payload.metrics)]));
client.on("error", (error) => tell("error", String(error)));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  const payload = { timestamp: time(), metrics: (command.metrics || []).map(([name, type, value]) => ({ name, type, value })) };
  if (command.do === "update") client.publishNodeData(payload);
  if (command.do === "update_device") client.publishDeviceData("D", payload);
  if (command.do === "skip") client.seq += 1;
  if (command.do === "deregister") client.publishDeviceDeath("D", { timestamp: time() });
  if (command.do === "die") process.exit(1);
  if (command.do === "disconnect") client.stop();
  tell("done", command.do);
});
