// The newest value of every key, live.

import { useEffect, useState } from "preact/hooks";
import { type Point, watch } from "../../lib/live";
import { Ago, Bones, Empty, LiveSign, Notice, Panel } from "../../parts/basic";
import type { TabProps } from "../device";

type Latest = Map<string, Point>;

export function Overview({ device }: TabProps) {
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
        <div class="scroll">
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
                  <td class="mono">{value}</td>
                  <td>
                    <Ago at={ts} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
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
