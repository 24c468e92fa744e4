// Readings over time: a chart of the keys that are numbers, a table of all of them, and both as a file.

import { lazy } from "preact-iso";
import { useMemo, useState } from "preact/hooks";
import { get, saveAs } from "../../lib/api";
import { useLoad } from "../../lib/load";
import { moment, plural } from "../../lib/text";
import type { Series } from "../../parts/chart";
import { Bones, Button, Choice, Empty, Failed, Panel, Select, TextField } from "../../parts/basic";
import type { TabProps } from "../device";
import { Scroll } from "../../parts/scroll";

const Chart = lazy(() => import("../../parts/chart").then((module) => module.Chart));

// What a range shows at most; the server thins it out by the aggregation.
const POINTS_MAX = 2_000;
const COLUMNS = 300;

const RANGES: [label: string, ms: number][] = [
  ["5 min", 300_000],
  ["1 h", 3_600_000],
  ["6 h", 21_600_000],
  ["24 h", 86_400_000],
  ["7 d", 604_800_000],
  ["30 d", 2_592_000_000],
];

const AGGREGATIONS = ["NONE", "AVG", "MIN", "MAX", "SUM", "COUNT"].map((value) => ({ value, label: value === "NONE" ? "Every reading" : value.toLowerCase() }));

// What the server and devices say of updates is rarely what somebody wants to see first.
const UPDATES = /^(target_|current_)?[fs]w_/;

type Values = Record<string, { ts: number; value: unknown }[]>;

interface Span {
  from: number;
  to: number;
  // The length of a span that ends now and moves on; none for a fixed one.
  moving: number | null;
}

const until = (ms: number): Span => ({ from: Date.now() - ms, to: Date.now(), moving: ms });

export function History({ device }: TabProps) {
  const base = `/api/plugins/telemetry/DEVICE/${device.id.id}`;
  const [range, setRange] = useState<Span>(() => until(3_600_000));
  const [agg, setAgg] = useState("NONE");
  const [picked, setPicked] = useState<string[]>();
  const keys = useLoad((signal) => get<string[]>(`${base}/keys/timeseries`, {}, signal), [base]);
  const shown = picked ?? (keys.value ?? []).filter((key) => !UPDATES.test(key)).slice(0, 4);
  const interval = agg === "NONE" ? 0 : Math.max(1, Math.ceil((range.to - range.from) / COLUMNS));
  const query = { keys: shown.join(","), startTs: Math.round(range.from), endTs: Math.round(range.to), limit: POINTS_MAX, agg, interval, useStrictDataTypes: true };
  const values = useLoad(
    async (signal): Promise<Values> => (shown.length ? get<Values>(`${base}/values/timeseries`, query, signal) : {}),
    [base, ...Object.values(query)],
  );
  const series = useMemo(() => drawable(values.value ?? {}, shown), [values.value, shown.join("\n")]);
  const points = Object.values(values.value ?? {}).reduce((sum, each) => sum + each.length, 0);
  const toggle = (key: string) => setPicked(shown.includes(key) ? shown.filter((each) => each !== key) : [...shown, key]);

  if (keys.error) return <Failed error={keys.error} again={keys.again} />;
  if (!keys.value) return <Bones />;
  if (keys.value.length === 0) return <Empty title="No readings yet">As soon as the device sends telemetry, it can be charted here.</Empty>;
  return (
    <div class="stack">
      <Panel
        title="Readings over time"
        actions={
          <>
            <Choice
              label="Range"
              value={String(range.moving)}
              options={RANGES.map(([label, ms]) => ({ label, value: String(ms) }))}
              onPick={(ms) => setRange(until(Number(ms)))}
            />
            <Select bare label="Aggregation" value={agg} options={AGGREGATIONS} onPick={setAgg} />
            <Button small icon="again" aria-label="Read again" busy={values.busy} onClick={() => (range.moving ? setRange(until(range.moving)) : values.again())} />
            <Button small icon="download" disabled={points === 0} onClick={() => saveAs(csv(values.value ?? {}, shown), `${device.name}.csv`)}>
              CSV
            </Button>
          </>
        }
      >
        <div class="stack">
          <div class="row" role="group" aria-label="Keys">
            {keys.value.map((key) => (
              <button key={key} type="button" class={`badge pick ${shown.includes(key) ? "accent" : ""}`} aria-pressed={shown.includes(key)} onClick={() => toggle(key)}>
                {key}
              </button>
            ))}
          </div>
          <Exact range={range} onRange={setRange} />
          {values.error && <Failed error={values.error} again={values.again} />}
          {series.length > 0 ? (
            <Chart series={series} from={range.from} to={range.to} onZoom={(from, to) => setRange({ from, to, moving: null })} />
          ) : (
            !values.busy && <Empty title={points ? "None of these are numbers" : "No readings in this range"}>{points ? "They are in the table below." : "Choose a longer range, or another key."}</Empty>
          )}
        </div>
      </Panel>
      {points > 0 && <Table values={values.value ?? {}} keys={shown} />}
    </div>
  );
}

// The exact borders, for whoever knows them.
function Exact({ range, onRange }: { range: Span; onRange: (span: Span) => void }) {
  const local = (at: number) => moment(at, false).replace(" ", "T");
  const change = (part: "from" | "to") => (text: string) => {
    const at = new Date(text).getTime();
    if (!Number.isNaN(at)) onRange({ ...range, [part]: at, moving: null });
  };
  return (
    <div class="row">
      <TextField label="From" type="datetime-local" value={local(range.from)} onText={change("from")} />
      <TextField label="To" type="datetime-local" value={local(range.to)} onText={change("to")} />
    </div>
  );
}

function Table({ values, keys }: { values: Values; keys: string[] }) {
  const rows = keys.flatMap((key) => (values[key] ?? []).map((point) => ({ key, ...point }))).sort((a, b) => b.ts - a.ts);
  const shown = rows.slice(0, 200);
  return (
    <Panel title="As a table" actions={<span class="faint">{plural(rows.length, "reading")}</span>} flush>
      <Scroll label="Readings" tall>
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">Key</th>
              <th scope="col">Value</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row, n) => (
              <tr key={n}>
                <td class="mono nowrap">{moment(row.ts)}</td>
                <td class="name">{row.key}</td>
                <td class="mono">{text(row.value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {rows.length > shown.length && <div class="pager">The newest {shown.length} are shown; the file has all.</div>}
    </Panel>
  );
}

const text = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value));

function drawable(values: Values, keys: string[]): Series[] {
  return keys
    .map((key) => ({
      key,
      points: (values[key] ?? [])
        .filter((point) => typeof point.value === "number" || typeof point.value === "boolean")
        .map((point): [number, number] => [point.ts, Number(point.value)])
        .sort(([a], [b]) => a - b),
    }))
    .filter((each) => each.points.length > 0);
}

// One row per moment, one column per key.
function csv(values: Values, keys: string[]): Blob {
  const rows = new Map<number, Map<string, unknown>>();
  for (const key of keys) {
    for (const { ts, value } of values[key] ?? []) {
      if (!rows.has(ts)) rows.set(ts, new Map());
      rows.get(ts)!.set(key, value);
    }
  }
  const cell = (value: unknown) => {
    const plain = value === undefined ? "" : text(value);
    return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  const lines = [...rows].sort(([a], [b]) => a - b).map(([ts, row]) => [ts, new Date(ts).toISOString(), ...keys.map((key) => cell(row.get(key)))].join(","));
  return new Blob([[["ts", "time", ...keys.map(cell)].join(","), ...lines].join("\n") + "\n"], { type: "text/csv" });
}
