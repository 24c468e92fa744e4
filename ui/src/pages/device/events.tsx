// Why something did not work: each refusal, rejected message and disconnect, with what to do about it.

import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { useLoad } from "../../lib/load";
import { plural } from "../../lib/text";
import type { Incident } from "../../lib/types";
import { Ago, Badge, Bones, Choice, Empty, Failed, Panel } from "../../parts/basic";
import type { TabProps } from "../device";

const MOVES: Record<Incident["fault"], [tone: "bad" | "warn" | "info" | "", text: string]> = {
  device: ["warn", "Device"],
  operator: ["bad", "Operator"],
  server: ["bad", "Server"],
  network: ["info", "Network"],
  nobody: ["", "Nothing to do"],
};

export function Events({ device }: TabProps) {
  const [all, setAll] = useState("needed");
  const events = useLoad((signal) => get<Incident[]>(`/api/thingport/devices/${device.id.id}/events`, {}, signal), [device.id.id], 3_000);
  const shown = (events.value ?? []).filter((each) => all === "all" || each.fault !== "nobody");
  return (
    <Panel
      title="What went wrong, and why"
      actions={<Choice label="Which" value={all} onPick={setAll} options={[{ value: "needed", label: "Needs a look" }, { value: "all", label: "Everything" }]} />}
      flush
    >
      {events.error && <div class="body"><Failed error={events.error} again={events.again} /></div>}
      {!events.value && !events.error && <div class="body"><Bones /></div>}
      {events.value && shown.length === 0 && <Empty title="Nothing to report">No refusal and no failure is on record for this device.</Empty>}
      <ul>
        {shown.map((each) => (
          <Row key={`${each.reason}${each.firstAt}${each.remote}`} incident={each} />
        ))}
      </ul>
    </Panel>
  );
}

// `named` is said where incidents of several devices stand together.
export function Row({ incident, named }: { incident: Incident; named?: string | undefined }) {
  const [tone, move] = MOVES[incident.fault];
  return (
    <li class="incident">
      <div class="row">
        <Badge tone={tone} title="Whose move it is">{move}</Badge>
        <b class="grow">{incident.sentence}</b>
        <Ago at={incident.at} />
      </div>
      {incident.detail && <p class="wrap">{incident.detail}</p>}
      {incident.remedy && <p class="dim">{incident.remedy}</p>}
      <p class="faint row">
        {named && incident.deviceId && <a href={`/devices/${incident.deviceId.id}/events`}>{named}</a>}
        <code>{incident.reason}</code>
        {incident.count > 1 && (
          <span>
            {plural(incident.count, "time")} since <Ago at={incident.firstAt} />
          </span>
        )}
        {incident.remote && <span>from {incident.remote}</span>}
        {incident.protocol && <span>{incident.protocol}</span>}
        {incident.clientId && <span>client {incident.clientId}</span>}
      </p>
    </li>
  );
}
