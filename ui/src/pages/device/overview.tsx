// The newest value of every key, live; beside it how the device is connected and what last went wrong.

import { useEffect, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { type Point, watch } from "../../lib/live";
import { useLoad } from "../../lib/load";
import type { Incident } from "../../lib/types";
import { Ago, Bones, Empty, Failed, LiveSign, Notice, Panel } from "../../parts/basic";
import type { TabProps } from "../device";
import { Scroll } from "../../parts/scroll";

type Latest = Map<string, Point>;

export function Overview(props: TabProps) {
  return (
    <div class="beside">
      <Readings {...props} />
      <div class="stack">
        <Line {...props} />
        <Trouble {...props} />
      </div>
    </div>
  );
}

function Readings({ device }: TabProps) {
  const { latest, refused } = useLatest(device.id.id);
  return (
    <Panel title="Latest readings" actions={<LiveSign />} flush>
      {refused && <div class="body"><Notice tone="bad">{refused}</Notice></div>}
      {!latest && !refused && <div class="body"><Bones /></div>}
      {latest?.size === 0 && (
        <Empty title="Nothing has arrived yet">
          <a href={`/devices/${device.id.id}/connect`}>See how to connect it</a>
        </Empty>
      )}
      {latest && latest.size > 0 && (
        <Scroll label="Latest readings">
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Value</th>
                <th scope="col">When</th>
              </tr>
            </thead>
            <tbody>
              {[...latest].sort(([a], [b]) => a.localeCompare(b)).map(([key, [ts, value]]) => (
                <tr key={key}>
                  <td class="name">{key}</td>
                  <td class="mono wrap">{value}</td>
                  <td>
                    <Ago at={ts} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

// How it is connected now, or when it last was.
function Line({ presence }: TabProps) {
  const connected = presence?.connected;
  const line = connected?.line;
  return (
    <Panel title="Connection">
      {!connected && <Bones lines={3} />}
      {connected && (
        <dl class="facts">
          {line && (
            <>
              <dt>Speaks</dt>
              <dd>
                {line.protocol} over {line.transport}
              </dd>
              <dt>From</dt>
              <dd class="mono">{line.address}</dd>
              <dt>Client id</dt>
              <dd class="mono">{line.clientId || "-"}</dd>
              <dt>Secured by</dt>
              <dd>{line.tls ? `${line.tls.version}, ${line.tls.cipher}` : line.transport === "tcp" ? "nothing: no TLS" : "-"}</dd>
            </>
          )}
          <dt>Came</dt>
          <dd>
            <Ago at={connected.lastConnectTime} />
          </dd>
          {!connected.connected && (
            <>
              <dt>Left</dt>
              <dd>
                <Ago at={connected.lastDisconnectTime} />
              </dd>
            </>
          )}
          <dt>Last heard</dt>
          <dd>
            <Ago at={presence?.reporting.lastActivityTime} />
          </dd>
        </dl>
      )}
    </Panel>
  );
}

// The newest thing that somebody should look at.
function Trouble({ device }: TabProps) {
  const events = useLoad((signal) => get<Incident[]>(`/api/thingport/devices/${device.id.id}/events`, {}, signal), [device.id.id], 5_000);
  const last = events.value?.find((each) => each.fault !== "nobody");
  return (
    <Panel title="Last trouble" actions={last && <a href={`/devices/${device.id.id}/events`}>All events</a>}>
      {events.error && <Failed error={events.error} again={events.again} stale={Boolean(events.value)} />}
      {!events.value && !events.error && <Bones lines={2} />}
      {events.value && !last && <p class="dim">None is on record: no refusal and no rejected message.</p>}
      {last && (
        <div class="stack tight">
          <p>
            <b>{last.sentence}</b> <Ago at={last.at} />
          </p>
          {last.detail && <p class="wrap">{last.detail}</p>}
          <p class="dim">{last.remedy}</p>
        </div>
      )}
    </Panel>
  );
}

// The newest point of each key. What arrives between two frames is drawn at once.
function useLatest(deviceId: string) {
  const [latest, setLatest] = useState<Latest>();
  const [refused, setRefused] = useState<string>();
  useEffect(() => {
    const held: Latest = new Map();
    let frame = 0;
    setLatest(undefined);
    setRefused(undefined);
    const end = watch(
      { deviceId, of: "TELEMETRY" },
      (update) => {
        for (const [key, points] of Object.entries(update)) {
          const newest = points[0];
          if (!newest) continue;
          if (newest[0] === 0 && newest[1] === "") held.delete(key);
          else if ((held.get(key)?.[0] ?? -Infinity) <= newest[0]) held.set(key, newest);
        }
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          setLatest(new Map(held));
        });
      },
      setRefused,
    );
    return () => {
      cancelAnimationFrame(frame);
      end();
    };
  }, [deviceId]);
  return { latest, refused };
}
