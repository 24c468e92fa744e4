// How to connect this device, word for word, and what the server sees when it is tried.

import { useEffect, useState } from "preact/hooks";
import { find, get } from "../../lib/api";
import { watch } from "../../lib/live";
import { useLoad } from "../../lib/load";
import type { Incident, Presence } from "../../lib/types";
import { Ago, Bones, Choice, Code, Failed, LiveSign, Notice, Panel } from "../../parts/basic";
import type { TabProps } from "../device";
import { Row } from "./events";

type Shown = string | string[];

interface Commands {
  http?: { http?: Shown; https?: Shown };
  mqtt?: { mqtt?: Shown; mqtts?: Shown; sparkplug?: string; docker?: { mqtt?: Shown; mqtts?: Shown } };
}

const SYSTEMS = [
  { value: "linux", label: "Linux" },
  { value: "macos", label: "macOS" },
  { value: "windows", label: "Windows" },
  { value: "docker", label: "Docker" },
];

// What has to be there before the commands run.
const TOOLS: Record<string, { mqtt: string; http: string }> = {
  linux: { mqtt: "sudo apt-get install curl mosquitto-clients", http: "sudo apt-get install curl" },
  macos: { mqtt: "brew install mosquitto", http: "" },
  windows: { mqtt: "winget install EclipseFoundation.Mosquitto", http: "" },
  docker: { mqtt: "", http: "" },
};

export function Connect({ device }: TabProps) {
  const [system, setSystem] = useState(guess());
  const [wanted, setWanted] = useState("");
  const commands = useLoad((signal) => get<Commands>(`/api/device-connectivity/${device.id.id}`, {}, signal), [device.id.id]);
  const ways = waysOf(commands.value, system);
  const way = ways.find((each) => each.name === wanted) ?? ways[0];
  return (
    <div class="stack">
      <Panel title="Connect this device" actions={<Choice label="System" value={system} options={SYSTEMS} onPick={setSystem} />}>
        {commands.error && <Failed error={commands.error} again={commands.again} />}
        {!commands.value && !commands.error && <Bones />}
        {commands.value?.mqtt?.sparkplug && <Notice>{commands.value.mqtt.sparkplug}</Notice>}
        {commands.value && !way && !commands.value.mqtt?.sparkplug && (
          <Notice tone="warn">There is no command for these credentials here. Choose another system, or look at the credentials.</Notice>
        )}
        {way && (
          <div class="stack">
            <Choice label="Protocol" value={way.name} options={ways.map((each) => ({ value: each.name, label: each.name }))} onPick={setWanted} />
            {way.tools && (
              <div class="field">
                <span>1. Have the tools</span>
                <Code text={way.tools} />
              </div>
            )}
            <div class="field">
              <span>{way.tools ? "2. Send a reading" : "Send a reading"}</span>
              {way.lines.map((each) => (
                <Code key={each} text={each} />
              ))}
            </div>
            {way.secure && (
              <p class="dim">
                The server's CA: <a href="/api/device-connectivity/mqtts/certificate/download">ca-root.pem</a>. Devices check the server by it.
              </p>
            )}
          </div>
        )}
      </Panel>
      <Outcome device={device} />
    </div>
  );
}

interface Way {
  name: string;
  lines: string[];
  tools: string;
  secure: boolean;
}

function waysOf(commands: Commands | undefined, system: string): Way[] {
  const docker = system === "docker";
  const mqtt = docker ? commands?.mqtt?.docker : commands?.mqtt;
  const rows: [name: string, shown: Shown | undefined, tool: "mqtt" | "http", secure: boolean][] = [
    ["MQTT", mqtt?.mqtt, "mqtt", false],
    ["MQTT over TLS", mqtt?.mqtts, "mqtt", true],
    ["HTTP", docker ? undefined : commands?.http?.http, "http", false],
    ["HTTPS", docker ? undefined : commands?.http?.https, "http", true],
  ];
  return rows.flatMap(([name, shown, tool, secure]) =>
    shown ? [{ name, lines: (Array.isArray(shown) ? shown : [shown]).map((line) => forSystem(line, system)), tools: TOOLS[system]?.[tool] ?? "", secure }] : [],
  );
}

// The shell of Windows takes double quotes only.
const forSystem = (line: string, system: string) => (system === "windows" ? line.replaceAll('"', '\\"').replaceAll("'", '"') : line);

function guess(): string {
  if (/Mac/.test(navigator.userAgent)) return "macos";
  return /Windows/.test(navigator.userAgent) ? "windows" : "linux";
}

// What happened since this was opened: a reading, or what the server saw instead.
function Outcome({ device }: { device: TabProps["device"] }) {
  const [since] = useState(() => Date.now() - 2_000);
  const [reading, setReading] = useState<{ at: number; text: string }>();
  useEffect(
    () =>
      watch({ deviceId: device.id.id, of: "TELEMETRY" }, (update) => {
        const points = Object.entries(update).flatMap(([key, [point]]) => (point && point[1] !== "" ? [{ at: point[0], key, value: point[1] }] : []));
        const newest = Math.max(0, ...points.map((each) => each.at));
        if (newest > since) setReading({ at: newest, text: points.filter((each) => each.at === newest).map((each) => `${each.key} = ${each.value}`).join(", ") });
      }),
    [device.id.id],
  );
  const presence = useLoad(() => find<Presence>(`/api/thingport/devices/${device.id.id}/presence`), [device.id.id], 2_000);
  const own = useLoad((signal) => get<Incident[]>(`/api/thingport/devices/${device.id.id}/events`, { limit: 20 }, signal), [device.id.id], 2_000);
  const strangers = useLoad((signal) => get<Incident[]>("/api/thingport/events", { limit: 20 }, signal), [], 3_000);
  const mine = (own.value ?? []).filter((each) => each.at >= since && each.fault !== "nobody");
  const others = (strangers.value ?? []).filter((each) => each.at >= since && !each.deviceId);
  const connected = presence.value?.connected;
  return (
    <Panel title="What the server sees" actions={<LiveSign />} flush>
      <div class="body stack" aria-live="polite">
        {reading ? (
          <Notice tone="good">
            It works: <b class="mono">{reading.text}</b> arrived <Ago at={reading.at} />.
          </Notice>
        ) : (
          <Notice>Waiting for the first reading. Run the command above; this page notices by itself.</Notice>
        )}
        {!reading && connected?.connected && <Notice tone="good">It is connected, and has not sent a reading yet.</Notice>}
        {!reading && mine.length === 0 && others.length === 0 && !connected?.connected && (
          <p class="dim">Nothing has come in so far: no connection and no refusal. Then the command did not reach this server; check host, port and firewall.</p>
        )}
      </div>
      {(mine.length > 0 || others.length > 0) && (
        <ul>
          {[...mine, ...others].map((each) => (
            <Row key={`${each.reason}${each.firstAt}${each.remote}`} incident={each} />
          ))}
        </ul>
      )}
    </Panel>
  );
}
