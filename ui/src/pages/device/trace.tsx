// Every packet of the device as a conversation: what it sent on the left, what it was told on the right, and on
// each the verdict. Off by default; it ends by itself.

import type { VNode } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { download, get, post, remove } from "../../lib/api";
import { subscribe } from "../../lib/live";
import { useDeed, useLoad, useNow } from "../../lib/load";
import { bytes, clock, count, moment, plural, span } from "../../lib/text";
import { Badge, Bones, Button, Choice, Empty, Failed, LiveSign, Notice, Panel, Select } from "../../parts/basic";
import { Scroll } from "../../parts/scroll";
import type { TabProps } from "../device";

interface State {
  running: boolean;
  startedAt: number | null;
  until: number | null;
  dropped: number;
}

interface Reason {
  id: string;
  fault: string;
  sentence: string;
  remedy: string;
  detail: string;
}

interface Settled {
  number: number;
  verdict: { outcome: "none" | "open" | "accepted" | "committed" | "refused"; at: number | null };
  reasons: Reason[];
  answered: number[];
}

interface Packet extends Settled {
  at: number;
  connection: number | null;
  direction: "in" | "out" | "none";
  protocol: string;
  kind: string;
  size: number | null;
  fields: Record<string, unknown>;
  payload: { size: number; base64: string; text: string | null; decoded: unknown; cut: boolean; redacted: boolean } | null;
  meaning: { endpoint: string; requestId: number | null; method: string | null; readings: { key: string; type: string; value: unknown; ts: number }[]; readingsCount: number } | null;
}

// What the page keeps, the newest.
const KEPT_MAX = 2_000;

// How many are drawn, and drawn in addition when somebody asks for more.
const STEP = 100;

const DURATIONS = [
  { value: "600000", label: "10 minutes" },
  { value: "3600000", label: "1 hour" },
  { value: "86400000", label: "1 day" },
];

const WHICH = [
  { value: "all", label: "All" },
  { value: "in", label: "From the device" },
  { value: "out", label: "To the device" },
  { value: "refused", label: "Refused" },
];

export function Trace({ device }: TabProps) {
  const path = `/api/thingport/devices/${device.id.id}/trace`;
  const [state, setState] = useState<State>();
  const [duration, setDuration] = useState("3600000");
  const [which, setWhich] = useState("all");
  const [text, setText] = useState("");
  const [paused, setPaused] = useState(false);
  const { busy, error, run } = useDeed();
  const { packets, missed, refused } = useTrace(device.id.id, state?.startedAt ?? null, setState, paused);
  const now = useNow();
  const first = useLoad((signal) => get<State>(path, { limit: 0 }, signal), [path]);
  useEffect(() => first.value && setState(first.value), [first.value]);
  const begin = () => run(async () => setState(await post<State>(path, { durationMs: Number(duration) })));
  const end = () =>
    run(async () => {
      await remove(path);
      setState(await get<State>(path, { limit: 0 }));
    });
  const [most, setMost] = useState(STEP);
  const bubble = useBubbles();
  const shown = useMemo(() => packets.filter((each) => fits(each, which, text.toLowerCase())), [packets, which, text]);
  if (first.error && !state) return <Failed error={first.error} again={first.again} />;
  if (!state) return <Bones />;
  return (
    <Panel
      title={
        <span class="row">
          Trace
          {state.running ? <Badge tone="good">{`runs for another ${span((state.until ?? now) - now)}`}</Badge> : <Badge>off</Badge>}
        </span>
      }
      actions={
        state.running ? (
          <>
            <LiveSign />
            <Button small icon={paused ? "play" : "pause"} onClick={() => setPaused(!paused)}>
              {paused ? "Go on" : "Pause"}
            </Button>
            <Button small busy={busy} onClick={() => void end()}>
              End
            </Button>
          </>
        ) : (
          <>
            <Select bare label="For how long" value={duration} options={DURATIONS} onPick={setDuration} />
            <Button small kind="first" busy={busy} onClick={() => void begin()}>
              Begin
            </Button>
          </>
        )
      }
      flush
    >
      {(error || refused) && <div class="body"><Notice tone="bad">{error ?? refused}</Notice></div>}
      {state.startedAt === null && (
        <Empty title="This device is not traced">
          While it is, each packet in and out is recorded with its time, its fields and what became of it. Passwords and tokens are left out, and nothing is written to disk.
        </Empty>
      )}
      {state.startedAt !== null && (
        <>
          <div class="body row">
            <Choice label="Which packets" value={which} options={WHICH} onPick={setWhich} />
            <input class="input grow" type="search" aria-label="Search in packets" placeholder="Topic, key or text" value={text} onInput={(event) => setText(event.currentTarget.value)} />
            <Button small icon="download" onClick={() => void download(`${path}?format=jsonl`, `${device.name}.jsonl`)}>
              Download
            </Button>
          </div>
          {(state.dropped > 0 || missed > 0) && <p class="body faint">{plural(Math.max(state.dropped, missed), "older packet")} had to make room.</p>}
          {shown.length === 0 && <Empty title={packets.length ? "No packet matches" : "No packet yet"}>{state.running && !packets.length && "As soon as the device says something, it appears here."}</Empty>}
          <ol class="talk" aria-label="Packets, the newest first">
            {shown.slice(-most).reverse().map(bubble)}
          </ol>
          {shown.length > most && (
            <div class="pager">
              <span class="grow">
                The newest {most} of {count(shown.length)} are shown.
              </span>
              <Button small onClick={() => setMost(most + STEP)}>
                Show more
              </Button>
            </div>
          )}
        </>
      )}
    </Panel>
  );
}

// The same packet is drawn once: what did not change is not even compared.
function useBubbles() {
  const drawn = useRef(new WeakMap<Packet, VNode>());
  return (packet: Packet) => {
    const known = drawn.current.get(packet) ?? <Bubble key={packet.number} packet={packet} />;
    drawn.current.set(packet, known);
    return known;
  };
}

function fits(packet: Packet, which: string, text: string): boolean {
  const kind = which === "all" || (which === "refused" ? packet.verdict.outcome === "refused" || packet.reasons.length > 0 : packet.direction === which);
  return kind && (!text || JSON.stringify([packet.kind, packet.fields, packet.payload?.text, packet.meaning, packet.reasons]).toLowerCase().includes(text));
}

// The packets of the trace. While it is paused they are collected and not shown. However many arrive, the page is
// drawn a few times a second: nobody reads faster.
function useTrace(deviceId: string, startedAt: number | null, setState: (state: State) => void, paused: boolean) {
  const [packets, setPackets] = useState<Packet[]>([]);
  const [missed, setMissed] = useState(0);
  const [refused, setRefused] = useState<string>();
  const held = useRef(new Map<number, Packet>());
  const still = useRef(paused);
  still.current = paused;
  useEffect(() => {
    if (!paused) setPackets([...held.current.values()]);
  }, [paused]);
  useEffect(() => {
    if (startedAt === null) return undefined;
    let drawing: ReturnType<typeof setTimeout> | undefined;
    let state: State | undefined;
    let lost = 0;
    held.current = new Map();
    setRefused(undefined);
    const draw = () => {
      drawing = undefined;
      if (state) setState(state);
      setMissed(lost);
      if (!still.current) setPackets([...held.current.values()]);
    };
    const end = subscribe(
      { type: "TRACE", entityId: deviceId },
      { type: "TRACE_UNSUBSCRIBE" },
      (message) => {
        const { trace, records, settled, missed: more } = message as unknown as { trace: State; records: Packet[]; settled: Settled[]; missed: number };
        take(held.current, records, settled);
        state = trace;
        lost += more;
        drawing ??= setTimeout(draw, DRAWN_EVERY_MS);
      },
      setRefused,
    );
    return () => {
      clearTimeout(drawing);
      end();
    };
  }, [deviceId, startedAt]);
  return { packets, missed, refused };
}

// Puts new packets behind those that are held, and lets the oldest go.
function take(held: Map<number, Packet>, records: Packet[], settled: Settled[]) {
  for (const each of records) if (!held.has(each.number)) held.set(each.number, each);
  for (const each of settled) {
    const packet = held.get(each.number);
    if (packet) held.set(each.number, { ...packet, ...each });
  }
  for (const oldest of held.keys()) {
    if (held.size <= KEPT_MAX) break;
    held.delete(oldest);
  }
}

const DRAWN_EVERY_MS = 150;

const VERDICTS: Record<Settled["verdict"]["outcome"], [tone: "good" | "bad" | "info" | "", text: string] | null> = {
  none: null,
  open: ["info", "under way"],
  accepted: ["good", "accepted"],
  committed: ["good", "on disk"],
  refused: ["bad", "refused"],
};

function Bubble({ packet }: { packet: Packet }) {
  const [view, setView] = useState("text");
  const verdict = VERDICTS[packet.verdict.outcome];
  const topic = packet.fields["topic"] ?? packet.fields["path"];
  const fields = Object.entries(packet.fields).filter(([name]) => name !== "topic" && name !== "path");
  return (
    <li class={`bubble ${packet.direction}`}>
      <div class="row">
        <b>{packet.kind}</b>
        {topic !== undefined && <code class="wrap grow">{String(topic)}</code>}
        {verdict && (
          <Badge tone={verdict[0]}>
            {verdict[1]}
            {packet.verdict.at !== null && ` after ${packet.verdict.at - packet.at} ms`}
          </Badge>
        )}
        {packet.answered.length > 0 && <span class="faint mono">{packet.answered.map((code) => `0x${code.toString(16).padStart(2, "0")}`).join(" ")}</span>}
        <time class="faint mono">{clock(packet.at)}</time>
      </div>
      {fields.length > 0 && (
        <p class="faint mono wrap">{fields.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join("  ")}</p>
      )}
      {packet.payload && packet.payload.size > 0 && (
        <div class="stack tight">
          {view === "fields" ? <Fields packet={packet} /> : <pre class={`code mono flat ${isHex(packet.payload, view) ? "hex" : ""}`}>{payloadAs(packet.payload, view)}</pre>}
          <div class="row faint">
            <Choice label="Show the payload as" value={view} options={VIEWS} onPick={setView} />
            <span>{bytes(packet.payload.size)}</span>
            {packet.payload.cut && <span>cut</span>}
            {packet.payload.redacted && <span>secrets left out</span>}
          </div>
        </div>
      )}
      {packet.meaning && (
        <p class="dim">
          {packet.meaning.endpoint}
          {packet.meaning.requestId !== null && ` ${packet.meaning.requestId}`}
          {packet.meaning.method && ` ${packet.meaning.method}`}
          {packet.meaning.readings.length > 0 && ": "}
          {packet.meaning.readings.map((each) => (
            <span key={each.key} class="reading">
              <b>{each.key}</b> <span class="mono">{JSON.stringify(each.value)}</span> <small>{each.type.toLowerCase()}</small>
            </span>
          ))}
          {packet.meaning.readingsCount > packet.meaning.readings.length && ` and ${packet.meaning.readingsCount - packet.meaning.readings.length} more`}
        </p>
      )}
      {packet.reasons.map((each) => (
        <Notice key={each.id + each.detail} tone={each.fault === "nobody" ? "" : "bad"}>
          <b>{each.sentence}</b> {each.detail} <span class="dim">{each.remedy}</span>
        </Notice>
      ))}
    </li>
  );
}

const VIEWS = [
  { value: "text", label: "Text" },
  { value: "json", label: "Decoded" },
  { value: "fields", label: "Fields" },
  { value: "hex", label: "Hex" },
];

// What the bytes say, member by member: as readings where they are some, else as they were decoded.
function Fields({ packet }: { packet: Packet }) {
  const decoded = packet.payload?.decoded;
  const members = typeof decoded === "object" && decoded !== null ? Object.entries(decoded) : [];
  const rows = packet.meaning?.readings.length ? packet.meaning.readings.map((each) => [each.key, each.type.toLowerCase(), JSON.stringify(each.value), moment(each.ts)]) : members.map(([key, value]) => [key, kindOf(value), JSON.stringify(value), ""]);
  if (rows.length === 0) return <p class="faint">These bytes have no fields that the profile of the device names.</p>;
  return (
    <Scroll label="Fields">
      <table class="table">
        <tbody>
          {rows.map((row) => (
            <tr key={row[0]}>
              <td class="name">{row[0]}</td>
              <td class="faint">{row[1]}</td>
              <td class="mono wrap">{row[2]}</td>
              <td class="faint nowrap">{row[3]}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

const kindOf = (value: unknown) => (Array.isArray(value) ? "list" : value === null ? "null" : typeof value);

const isHex = (payload: NonNullable<Packet["payload"]>, view: string) => view === "hex" || (payload.text === null && (view !== "json" || payload.decoded === null));

function payloadAs(payload: NonNullable<Packet["payload"]>, view: string): string {
  if (view === "json" && payload.decoded !== null) return JSON.stringify(payload.decoded, null, 2);
  if (view !== "hex" && payload.text !== null) return payload.text;
  return hex(payload.base64);
}

// Sixteen bytes a line: offset, numbers, what of it is text.
function hex(base64: string): string {
  const all = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const lines = [];
  for (let at = 0; at < all.length; at += 16) {
    const part = [...all.slice(at, at + 16)];
    const numbers = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const signs = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${numbers.padEnd(47)}  ${signs}`);
  }
  return lines.join("\n");
}
