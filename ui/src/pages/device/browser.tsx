// This browser as the device: connected over MQTT in a WebSocket with the device's own credentials.

import type { MqttClient } from "mqtt";
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { useLoad } from "../../lib/load";
import { clock } from "../../lib/text";
import { Badge, Bones, Button, Choice, Failed, Field, Notice, Panel, TextField } from "../../parts/basic";
import type { TabProps } from "../device";

interface Credentials {
  credentialsType: string;
  credentialsId: string;
  credentialsValue: string | null;
}

interface Said {
  at: number;
  side: "in" | "out" | "none";
  topic: string;
  text: string;
}

const TOPICS: [topic: string, body: string][] = [
  ["v1/devices/me/telemetry", '{"temperature": 21.5}'],
  ["v1/devices/me/attributes", '{"firmware": "1.0.3"}'],
  ["v1/devices/me/attributes/request/1", '{"sharedKeys": ""}'],
  ["v1/devices/me/rpc/request/1", '{"method": "getCurrentTime", "params": {}}'],
  ["v1/devices/me/claim", '{"secretKey": "", "durationMs": 60000}'],
];

const FILTERS = ["v1/devices/me/attributes", "v1/devices/me/attributes/response/+", "v1/devices/me/rpc/request/+", "v1/devices/me/rpc/response/+"];

const SAID_MAX = 200;

type Line = "off" | "connecting" | "on";

export function Browser({ device }: TabProps) {
  const held = useLoad((signal) => get<Credentials>(`/api/device/${device.id.id}/credentials`, {}, signal), [device.id.id]);
  const [version, setVersion] = useState("5");
  const [line, setLine] = useState<Line>("off");
  const [fault, setFault] = useState<string>();
  const [said, setSaid] = useState<Said[]>([]);
  const [topic, setTopic] = useState(TOPICS[0]![0]);
  const [body, setBody] = useState(TOPICS[0]![1]);
  const client = useRef<MqttClient | null>(null);
  const note = (side: Said["side"], about: string, text: string) => setSaid((before) => [{ at: Date.now(), side, topic: about, text }, ...before].slice(0, SAID_MAX));

  useEffect(() => () => void client.current?.end(true), [device.id.id]);

  const connect = async (credentials: Credentials) => {
    setFault(undefined);
    setLine("connecting");
    const { default: mqtt } = await import("mqtt");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const made = mqtt.connect(`${scheme}://${location.host}/mqtt`, { protocolVersion: version === "5" ? 5 : 4, reconnectPeriod: 0, connectTimeout: 10_000, timerVariant: "native", ...loginOf(credentials) });
    client.current = made;
    made.on("connect", () => {
      setLine("on");
      note("none", "", "Connected as the device. Another connection of it was closed: a device has one.");
    });
    made.on("message", (from, payload, packet) => {
      note("in", from, new TextDecoder().decode(payload));
      answer(made, from, packet.payload.toString());
    });
    made.on("disconnect", (packet) => setFault(`The server said goodbye: ${packet.properties?.reasonString ?? `code ${packet.reasonCode}`}`));
    made.on("error", (error) => setFault(error.message));
    made.on("close", () => {
      setLine("off");
      if (client.current === made) client.current = null;
    });
  };

  // Calls are answered with their own parameters, so that somebody who tries a call sees an answer.
  const answer = (made: MqttClient, from: string, text: string) => {
    const number = /^v1\/devices\/me\/rpc\/request\/(\d+)$/.exec(from)?.[1];
    if (number === undefined || !/"method"/.test(text)) return;
    const reply = JSON.stringify({ echo: JSON.parse(text) });
    made.publish(`v1/devices/me/rpc/response/${number}`, reply, { qos: 1 });
    note("out", `v1/devices/me/rpc/response/${number}`, reply);
  };

  const publish = () => {
    const began = performance.now();
    const about = topic;
    note("out", about, body);
    client.current?.publish(about, body, { qos: 1 }, (error) => {
      if (error) setFault(error.message);
      else note("none", about, `Acknowledged after ${(performance.now() - began).toFixed(1)} ms: it is on disk.`);
    });
  };

  const subscribe = () =>
    client.current?.subscribe(FILTERS, { qos: 1 }, (error, granted) => {
      if (error) setFault(error.message);
      for (const each of granted ?? []) note("none", each.topic, each.qos < 128 ? `Subscribed with quality of service ${each.qos}.` : `Refused with code ${each.qos}.`);
    });

  if (held.error) return <Failed error={held.error} again={held.again} />;
  if (!held.value) return <Bones />;
  const credentials = held.value;
  if (credentials.credentialsType === "X509_CERTIFICATE") {
    return <Notice>The device proves itself by a certificate. A browser cannot lend its key to this page; use the commands under Connect.</Notice>;
  }
  const on = line === "on";
  return (
    <div class="columns">
      <Panel
        title="This browser as the device"
        actions={
          <>
            <Badge tone={on ? "good" : ""}>{on ? "Connected" : line === "off" ? "Not connected" : "Connecting"}</Badge>
            {on || line === "connecting" ? (
              <Button small onClick={() => client.current?.end()}>
                Disconnect
              </Button>
            ) : (
              <Button small kind="first" onClick={() => void connect(credentials)}>
                Connect
              </Button>
            )}
          </>
        }
      >
        <div class="stack">
          <Choice label="Version of MQTT" value={version} onPick={setVersion} options={[{ value: "5", label: "MQTT 5" }, { value: "4", label: "MQTT 3.1.1" }]} />
          {fault && <Notice tone="bad">{fault}</Notice>}
          <div class="row">
            {TOPICS.map(([each, example]) => (
              <button key={each} type="button" class={`badge pick ${each === topic ? "accent" : ""}`} onClick={() => (setTopic(each), setBody(example))}>
                {each.replace("v1/devices/me/", "")}
              </button>
            ))}
          </div>
          <TextField label="Topic" mono value={topic} onText={setTopic} />
          <Field label="Payload">{(field) => <textarea class="input" {...field} value={body} onInput={(event) => setBody(event.currentTarget.value)} />}</Field>
          <div class="row">
            <Button kind="first" disabled={!on} onClick={publish}>
              Publish
            </Button>
            <Button disabled={!on} onClick={() => void subscribe()}>
              Subscribe to all it may hear
            </Button>
          </div>
        </div>
      </Panel>
      <Panel title="What the device sees" actions={<Button small kind="quiet" onClick={() => setSaid([])}>Clear</Button>} flush>
        {said.length === 0 && <p class="body dim">Both sides of the conversation appear here. Calls are answered with what they asked.</p>}
        <ol class="talk" aria-live="polite">
          {said.map((each, n) => (
            <li key={said.length - n} class={`bubble ${each.side === "in" ? "out" : each.side === "out" ? "in" : "none"}`}>
              <div class="row">
                <code class="wrap grow">{each.topic}</code>
                <time class="faint mono">{clock(each.at)}</time>
              </div>
              <pre class="wrap">{each.text}</pre>
            </li>
          ))}
        </ol>
      </Panel>
    </div>
  );
}

function loginOf(credentials: Credentials): { username?: string; password?: string; clientId?: string } {
  if (credentials.credentialsType === "ACCESS_TOKEN") return { username: credentials.credentialsId };
  const value = JSON.parse(credentials.credentialsValue ?? "{}") as { clientId?: string | null; userName?: string | null; password?: string | null };
  return {
    ...(value.userName ? { username: value.userName } : {}),
    ...(value.password ? { password: value.password } : {}),
    ...(value.clientId ? { clientId: value.clientId } : {}),
  };
}
