// What leaves the house: targets that get what devices send, and who answers what devices ask.

import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { useLoad } from "../../lib/load";
import { bytes, count, span } from "../../lib/text";
import { Ago, Badge, Button, Dialog, Empty, Notice, Panel, Select, TextField } from "../../parts/basic";
import type { PartProps } from "../profile";
import type { Extension } from "./body";

type Target = Record<string, unknown> & { name?: string; type?: string };

interface Standing {
  name: string;
  deviceProfileId: string;
  status: "UP_TO_DATE" | "BEHIND" | "FAILING";
  lagCommits: number;
  lagBytes: number;
  lagMs: number;
  delivered: number;
  deliveredTs: number | null;
  setAside: number;
  givenUp: number;
  lastError: string | null;
  lastErrorTs: number | null;
}

export function OutsidePart({ draft, change }: PartProps) {
  const held: Extension = draft.profileData.thingport ?? {};
  const set = (part: Partial<Extension>) => change({ ...draft, profileData: { ...draft.profileData, thingport: { ...held, ...part } } });
  return (
    <div class="stack">
      <Targets draft={draft} targets={held.forwarding ?? []} set={(forwarding) => set({ forwarding })} />
      <Handler held={held.clientRpc ?? null} set={(clientRpc) => set({ clientRpc })} />
    </div>
  );
}

const STANDINGS: Record<Standing["status"], [tone: "good" | "warn" | "bad", text: string]> = {
  UP_TO_DATE: ["good", "Up to date"],
  BEHIND: ["warn", "Behind"],
  FAILING: ["bad", "Failing"],
};

function Targets({ draft, targets, set }: { draft: PartProps["draft"]; targets: Target[]; set: (targets: Target[]) => void }) {
  const [editing, setEditing] = useState<number>();
  const standings = useLoad((signal) => get<Standing[]>("/api/thingport/forwarding", {}, signal), [], 3_000);
  const standingOf = (target: Target) => standings.value?.find((each) => each.deviceProfileId === draft.id?.id && each.name === target.name);
  return (
    <Panel
      title="Forward what devices send"
      actions={
        <Button small icon="plus" onClick={() => setEditing(targets.length)}>
          Add a target
        </Button>
      }
      flush
    >
      {targets.length === 0 && <Empty title="Nothing leaves the house">A target gets every acknowledged message at least once, in order, from its own place in the log.</Empty>}
      <ul>
        {targets.map((target, n) => {
          const standing = standingOf(target);
          return (
            <li key={target.name} class="incident">
              <div class="row">
                <b>{target.name}</b>
                <Badge>{String(target.type)}</Badge>
                <code class="wrap grow">{String(target["url"] ?? target["brokers"] ?? "")}</code>
                {standing && <Badge tone={STANDINGS[standing.status][0]}>{STANDINGS[standing.status][1]}</Badge>}
                <Button small kind="quiet" icon="edit" aria-label={`Change ${target.name}`} onClick={() => setEditing(n)} />
                <Button small kind="quiet" icon="trash" aria-label={`Remove ${target.name}`} onClick={() => set(targets.filter((_, other) => other !== n))} />
              </div>
              {standing && (
                <p class="faint row">
                  <span>{count(standing.delivered)} delivered</span>
                  {standing.lagCommits > 0 && (
                    <span>
                      behind by {span(standing.lagMs)}, {bytes(standing.lagBytes)} of log
                    </span>
                  )}
                  {standing.setAside > 0 && <span>{count(standing.setAside)} set aside</span>}
                  {standing.givenUp > 0 && <span>{count(standing.givenUp)} given up</span>}
                </p>
              )}
              {standing?.lastError && (
                <Notice tone={standing.status === "FAILING" ? "bad" : ""}>
                  {standing.lastError} <Ago at={standing.lastErrorTs} />
                </Notice>
              )}
            </li>
          );
        })}
      </ul>
      {editing !== undefined && (
        <Edit
          target={targets[editing] ?? { type: "WEBHOOK" }}
          onClose={() => setEditing(undefined)}
          onDone={(target) => {
            const next = [...targets];
            next[editing] = target;
            set(next);
          }}
        />
      )}
    </Panel>
  );
}

const FORMS: Record<string, [member: string, label: string, hint: string][]> = {
  WEBHOOK: [
    ["url", "Address", "http:// or https://; it gets a JSON array by POST."],
    ["secret", "Secret", "Requests are signed with it. Leave it empty to keep the one that is set, or for none."],
  ],
  KAFKA: [
    ["brokers", "Brokers", "HOST:PORT, further ones behind commas."],
    ["topic", "Topic", ""],
    ["user", "User", "May stay empty."],
    ["password", "Password", "Leave it empty to keep the one that is set."],
  ],
  MQTT: [
    ["url", "Address", "mqtt://HOST:PORT or mqtts://HOST:PORT."],
    ["topic", "Topic", "Empty: thingport/${deviceName}/${kind}."],
    ["user", "User", "May stay empty."],
    ["password", "Password", "Leave it empty to keep the one that is set."],
  ],
};

const TYPES = [
  { value: "WEBHOOK", label: "Webhook" },
  { value: "KAFKA", label: "Kafka" },
  { value: "MQTT", label: "MQTT broker" },
];

function Edit({ target, onClose, onDone }: { target: Target; onClose: () => void; onDone: (target: Target) => void }) {
  const [held, setHeld] = useState(target);
  const type = String(held.type);
  const put = (member: string, text: string) => {
    const { [member]: _, ...rest } = held;
    setHeld(text ? { ...rest, [member]: text } : rest);
  };
  return (
    <Dialog
      title={target.name ? `Change ${target.name}` : "New target"}
      onClose={onClose}
      onSubmit={() => {
        onDone(held);
        onClose();
      }}
    >
      <div class="columns">
        <TextField label="Name" required autofocus value={held.name ?? ""} onText={(text) => put("name", text)} hint="Its place in the log is kept under it." />
        <Select label="Kind" value={type} onPick={(value) => setHeld({ ...(held.name ? { name: held.name } : {}), type: value })} options={TYPES} />
      </div>
      {FORMS[type]?.map(([member, label, hint]) => (
        <TextField key={member} label={label} hint={hint} mono required={member === "url" || member === "brokers" || (type === "KAFKA" && member === "topic")} value={String(held[member] ?? "")} onText={(text) => put(member, text)} />
      ))}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit">
          Take over
        </Button>
      </footer>
    </Dialog>
  );
}

type ClientRpc = NonNullable<Extension["clientRpc"]>;

const HANDLERS = [
  { value: "", label: "Nobody: devices get an error at once" },
  { value: "WEBHOOK", label: "A webhook" },
  { value: "APP", label: "An application that takes requests" },
];

function Handler({ held, set }: { held: ClientRpc | null; set: (next: ClientRpc | null) => void }) {
  const pick = (value: string) => set(value === "" ? null : value === "APP" ? { type: "APP" } : { type: "WEBHOOK", url: "" });
  return (
    <Panel title="Who answers what devices ask">
      <div class="stack narrow">
        <Select label="Handler" value={held?.type ?? ""} options={HANDLERS} onPick={pick} hint="getSessionLimits and getCurrentTime are always answered by the server." />
        {held?.type === "WEBHOOK" && (
          <>
            <TextField label="Address" mono required value={held.url ?? ""} onText={(url) => set({ ...held, url })} hint="It gets the method and its parameters by POST; its answer is the device's." />
            <TextField label="Secret" mono value={held.secret ?? ""} onText={(secret) => set(secret ? { ...held, secret } : without(held))} hint={held.secretSet ? "One is set. Leave this empty to keep it." : "Requests are signed with it. May stay empty."} />
            <TextField label="Waits for, in milliseconds" type="number" value={String(held.timeoutMs ?? "")} onText={(text) => set({ ...held, timeoutMs: Number(text) })} />
          </>
        )}
        {held?.type === "APP" && <Notice>Applications take requests at /api/thingport/client-rpc, over WebSocket or by asking, with a token or an API key of an administrator.</Notice>}
      </div>
    </Panel>
  );
}

function without(held: ClientRpc): ClientRpc {
  const { secret: _, ...rest } = held;
  return rest;
}
