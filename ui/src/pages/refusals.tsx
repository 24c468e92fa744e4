// The fleet's refused attempts: grouped by reason, each with what to do; and the answer to "why does it not connect?".

import { useState } from "preact/hooks";
import { get, post } from "../lib/api";
import { useDeed, useLoad } from "../lib/load";
import { plural } from "../lib/text";
import { is } from "../lib/session";
import type { Device, Id, Incident } from "../lib/types";
import { Ago, Badge, Bones, Button, Choice, Empty, Failed, Notice, Panel } from "../parts/basic";
import { Row } from "./device/events";

interface Explanation {
  finding: string;
  sentence: string;
  remedy: string;
  note: string;
  attempts: Incident[];
  device: { id: Id; name: string; connected: boolean } | null;
}

export function Refusals() {
  return (
    <>
      <div class="head">
        <h1 class="grow">Refusals</h1>
      </div>
      <div class="stack">
        <Explain />
        <Groups />
      </div>
    </>
  );
}

function Explain() {
  const [text, setText] = useState("");
  const [found, setFound] = useState<Explanation>();
  const { busy, error, run } = useDeed();
  const ask = () => run(async () => setFound(await post<Explanation>("/api/thingport/explain", fieldsOf(text.trim()))));
  return (
    <Panel title="Why does it not connect?">
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <div class="row nowrap">
          <label class="grow">
            <span class="sr">What is known of the device</span>
            <input class="input" value={text} placeholder="An address, client id, user name, token, certificate fingerprint or device id" onInput={(event) => setText(event.currentTarget.value)} />
          </label>
          <Button kind="first" type="submit" busy={busy} disabled={!text.trim()}>
            Find out
          </Button>
        </div>
        {error && <Notice tone="bad">{error}</Notice>}
        {found && <Answer found={found} />}
      </form>
    </Panel>
  );
}

function Answer({ found }: { found: Explanation }) {
  const names = useNames(found.attempts);
  return (
    <div class="stack" aria-live="polite">
      <Notice tone={found.device?.connected ? "good" : found.attempts.length ? "warn" : "info"}>
        <p>
          <b>{found.sentence}</b>
        </p>
        <p>{found.remedy}</p>
        {found.note && <p class="dim">{found.note}</p>}
        {found.device && (
          <p>
            <a href={`/devices/${found.device.id.id}`}>{found.device.name}</a> is {found.device.connected ? "connected now" : "not connected"}.
          </p>
        )}
      </Notice>
      {found.attempts.length > 0 && (
        <ul class="panel">
          {found.attempts.map((each) => (
            <Row key={`${each.reason}${each.firstAt}${each.remote}`} incident={each} named={each.deviceId ? (names.get(each.deviceId.id) ?? "the device") : undefined} />
          ))}
        </ul>
      )}
    </div>
  );
}

// Which field a text belongs to is seen from its form; everything else is looked for in all of them.
function fieldsOf(text: string): Record<string, string> {
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text)) return { deviceId: text };
  if (/^([0-9a-f]{64}|([0-9a-f]{2}:){31}[0-9a-f]{2})$/i.test(text)) return { fingerprint: text };
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text) || /^[0-9a-f:]*:[0-9a-f:]+$/i.test(text)) return { address: text };
  return { text };
}

interface Group {
  reason: string;
  incidents: Incident[];
  count: number;
  at: number;
}

function Groups() {
  const [which, setWhich] = useState("needed");
  const [open, setOpen] = useState<string>();
  const events = useLoad((signal) => get<Incident[]>("/api/thingport/events", { limit: 500 }, signal), [], 5_000);
  const names = useNames((events.value ?? []).filter((each) => each.reason === open));
  const groups = grouped((events.value ?? []).filter((each) => which === "all" || each.fault !== "nobody"));
  return (
    <Panel
      title="Grouped by reason"
      actions={<Choice label="Which" value={which} onPick={setWhich} options={[{ value: "needed", label: "Needs a look" }, { value: "all", label: "Everything" }]} />}
      flush
    >
      {events.error && <div class="body"><Failed error={events.error} again={events.again} /></div>}
      {!events.value && !events.error && <div class="body"><Bones /></div>}
      {events.value && groups.length === 0 && <Empty title="Nothing was refused">Refused logins, messages and calls appear here, with what to do about them.</Empty>}
      <ul>
        {groups.map((group) => {
          const first = group.incidents[0]!;
          const shown = open === group.reason;
          return (
            <li key={group.reason} class="incident">
              <div class="row">
                <Badge tone="warn">{plural(group.count, "time")}</Badge>
                <b class="grow">{first.sentence}</b>
                <Ago at={group.at} />
                <Button small kind="quiet" aria-expanded={shown} onClick={() => setOpen(shown ? undefined : group.reason)}>
                  {shown ? "Less" : `Show ${group.incidents.length}`}
                </Button>
              </div>
              {first.remedy && <p class="dim">{first.remedy}</p>}
              {shown && (
                <ul class="panel">
                  {group.incidents.map((each) => (
                    <li key={`${each.firstAt}${each.remote}${each.deviceId?.id}`} class="incident">
                      <div class="row">
                        <span class="grow wrap">{each.detail || each.sentence}</span>
                        <Ago at={each.at} />
                      </div>
                      <p class="faint row">
                        {each.deviceId && <a href={`/devices/${each.deviceId.id}/events`}>{names.get(each.deviceId.id) ?? "the device"}</a>}
                        {each.count > 1 && <span>{plural(each.count, "time")}</span>}
                        {each.remote && <span>from {each.remote}</span>}
                        {each.protocol && <span>{each.protocol}</span>}
                        {each.clientId && <span>client {each.clientId}</span>}
                        {each.userName && <span>user {each.userName}</span>}
                      </p>
                    </li>
                  ))}
                </ul>
              )}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

// How the devices of incidents are called. Those that the caller may not see, or that are gone, are left out.
function useNames(incidents: Incident[]): ReadonlyMap<string, string> {
  const ids = [...new Set(incidents.flatMap((each) => each.deviceId?.id ?? []))].slice(0, NAMED_MAX).join(",");
  const found = useLoad(async (signal) => (ids && !is("SYS_ADMIN") ? get<Device[]>("/api/devices", { deviceIds: ids }, signal) : []), [ids]);
  return new Map((found.value ?? []).map((each) => [each.id.id, each.name]));
}

const NAMED_MAX = 100;

function grouped(incidents: Incident[]): Group[] {
  const groups = new Map<string, Group>();
  for (const each of incidents) {
    const group = groups.get(each.reason) ?? { reason: each.reason, incidents: [], count: 0, at: 0 };
    group.incidents.push(each);
    group.count += each.count;
    group.at = Math.max(group.at, each.at);
    groups.set(each.reason, group);
  }
  return [...groups.values()].sort((a, b) => b.at - a.at);
}
