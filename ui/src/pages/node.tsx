// The server itself: rates, the time a commit takes, connections, storage, and the bounds that bit.

import { useEffect, useState } from "preact/hooks";
import { useLoad } from "../lib/load";
import { bytes, count } from "../lib/text";
import { Badge, Bones, Empty, Failed, Panel } from "../parts/basic";
import { Scroll } from "../parts/scroll";

type Metrics = Map<string, number>;

interface Sample {
  at: number;
  values: Metrics;
}

const EVERY_MS = 2_000;

export function Node() {
  const metrics = useLoad(read, [], EVERY_MS);
  const [samples, setSamples] = useState<Sample[]>([]);
  useEffect(() => {
    const next = metrics.value;
    if (next) setSamples((before) => [...before.slice(-59), next]);
  }, [metrics.value]);
  const now = samples.at(-1);
  if (!now) return metrics.error ? <Failed error={metrics.error} again={metrics.again} /> : <Bones />;
  const of = (name: string) => now.values.get(name) ?? 0;
  const rate = (name: string) => rates(samples, name);
  const commit = meanOf(samples, "thingport_commit_seconds");
  const hits = [...now.values].filter(([name, value]) => name.startsWith("thingport_bound_hits_total{") && value > 0);
  return (
    <>
      <div class="head">
        <h1 class="grow">Node</h1>
        {metrics.error && <Badge tone="bad">Not live: {metrics.error.message}</Badge>}
      </div>
      <div class="stack">
        <div class="tiles">
          <Tile name="MQTT connections" value={count(of("thingport_mqtt_connections"))} note={`${count(of("thingport_mqtt_sessions"))} logged in`} />
          <Tile name="Devices reporting" value={count(of("thingport_devices_active"))} />
          <Tile name="Messages per second" value={shown(rate("thingport_acknowledged_total"))} line={rate("thingport_acknowledged_total")} note={`${count(of("thingport_acknowledged_total"))} acknowledged`} />
          <Tile name="Readings per second" value={shown(rate("thingport_points_total"))} line={rate("thingport_points_total")} note={`${count(of("thingport_points_total"))} kept`} />
          <Tile name="Time of a commit" value={commit === undefined ? "-" : `${(commit * 1_000).toFixed(2)} ms`} note="mean of the last seconds; until then nothing is acknowledged" />
          <Tile name="To devices per second" value={shown(rate("thingport_downlinks_total"))} line={rate("thingport_downlinks_total")} />
          <Tile name="Rejected messages" value={count(of("thingport_messages_rejected_total"))} note="see Refusals for the reasons" />
        </div>
        <Panel title="Bounds that bit" flush>
          {hits.length === 0 ? (
            <Empty title="No bound was reached">Every queue and table has one; here stand those that were full.</Empty>
          ) : (
            <Rows rows={hits.map(([name, value]) => [label(name), count(value)])} />
          )}
        </Panel>
        <Panel title="Storage" flush>
          <Rows rows={storage(now.values)} />
        </Panel>
        <Panel title="Everything that is measured" actions={<a href="/metrics">For Prometheus</a>} flush>
          <Scroll label="Metrics" tall>
            <Rows rows={[...now.values].filter(([name, value]) => value !== 0 && !name.includes("_bucket{")).map(([name, value]) => [name.replace("thingport_", ""), count(value)])} />
          </Scroll>
        </Panel>
      </div>
    </>
  );
}

async function read(signal: AbortSignal): Promise<Sample> {
  const response = await fetch("/metrics", { signal });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const rows = [...(await response.text()).matchAll(/^([a-zA-Z_:]+(?:\{[^}]*\})?) (\S+)$/gm)];
  return { at: Date.now(), values: new Map(rows.map(([, name, value]) => [name!, Number(value)])) };
}

// The change per second between each two samples.
function rates(samples: Sample[], name: string): number[] {
  return samples.slice(1).map((sample, n) => {
    const before = samples[n]!;
    const grown = (sample.values.get(name) ?? 0) - (before.values.get(name) ?? 0);
    return Math.max(0, grown) / Math.max(0.001, (sample.at - before.at) / 1_000);
  });
}

// The mean of a histogram over the newest samples that saw something.
function meanOf(samples: Sample[], name: string): number | undefined {
  const first = samples.at(-6) ?? samples[0];
  const last = samples.at(-1);
  if (!first || !last) return undefined;
  const grown = (part: string) => (last.values.get(`${name}_${part}`) ?? 0) - (first.values.get(`${name}_${part}`) ?? 0);
  return grown("count") > 0 ? grown("sum") / grown("count") : undefined;
}

const shown = (values: number[]) => (values.length ? count(values.at(-1)!) : "-");

const label = (name: string) => /bound="([^"]+)"/.exec(name)?.[1]?.replaceAll("_", " ") ?? name;

const STORAGE: [name: string, about: string, of?: string][] = [
  ["thingport_disk_bytes", "On disk"],
  ["thingport_head_bytes", "Readings in memory, not yet in chunks", "thingport_head_max_bytes"],
  ["thingport_backlog_bytes", "Log that would be replayed after a crash", "thingport_backlog_max_bytes"],
  ["thingport_commit_queue_bytes", "In line for the next commit", "thingport_commit_queue_max_bytes"],
  ["thingport_resident_memory_bytes", "Memory of the process"],
];

function storage(values: Metrics): [string, string][] {
  return STORAGE.filter(([name]) => values.has(name)).map(([name, about, most]) => {
    const bound = most && values.get(most);
    return [about, `${bytes(values.get(name)!)}${bound ? ` of ${bytes(bound)}` : ""}`];
  });
}

function Tile({ name, value, note, line }: { name: string; value: string; note?: string; line?: number[] }) {
  return (
    <div class="panel tile">
      <span class="dim">{name}</span>
      <b>{value}</b>
      {line && line.length > 1 && <Spark values={line} />}
      <small class="faint">{note}</small>
    </div>
  );
}

function Spark({ values }: { values: number[] }) {
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, n) => `${(n / (values.length - 1)) * 100},${28 - (value / most) * 26}`).join(" ");
  return (
    <svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points} fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke" />
    </svg>
  );
}

function Rows({ rows }: { rows: [string, string][] }) {
  return (
    <table class="table">
      <tbody>
        {rows.map(([name, value]) => (
          <tr key={name}>
            <td>{name}</td>
            <td class="number mono">{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
