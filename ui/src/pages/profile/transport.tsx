// How devices of the profile speak: topics, payload form, what happens to a payload that is no good.

import { useState } from "preact/hooks";
import { Badge, Choice, Notice, Panel, TextField } from "../../parts/basic";
import type { PartProps } from "../profile";
import { ATTRIBUTES, type PayloadType, TELEMETRY, type Transport, fits } from "./body";

const PAYLOADS: { value: PayloadType; label: string }[] = [
  { value: "JSON", label: "JSON" },
  { value: "PROTOBUF", label: "Protobuf" },
  { value: "CBOR", label: "CBOR" },
  { value: "MSGPACK", label: "MessagePack" },
];

export function TransportPart({ draft, change }: PartProps) {
  const transport = draft.profileData.transportConfiguration;
  const set = (part: Partial<Transport>) => change({ ...draft, profileData: { ...draft.profileData, transportConfiguration: { ...transport, ...part } } });
  const name = (
    <Panel title="Name">
      <div class="columns">
        <TextField label="Name" required value={draft.name} onText={(text) => change({ ...draft, name: text })} />
        <TextField label="Description" value={draft.description ?? ""} onText={(text) => change({ ...draft, description: text || null })} />
      </div>
    </Panel>
  );
  if (transport.type !== "MQTT") {
    return (
      <div class="stack">
        {name}
        <Notice>
          This profile has the transport type {transport.type}: the standard topics over MQTT and HTTP, payloads in JSON. Own topics and other payload forms need a profile of the transport type MQTT.
        </Notice>
      </div>
    );
  }
  const payload = transport.transportPayloadTypeConfiguration?.transportPayloadType ?? "JSON";
  return (
    <div class="stack">
      {name}
      <Panel title="Dialect">
        <div class="stack">
          <label class="check">
            <input type="checkbox" checked={transport.sparkplug ?? false} onChange={(event) => set({ sparkplug: event.currentTarget.checked })} />
            Devices are Sparkplug B edge nodes
          </label>
          {transport.sparkplug ? (
            <TextField
              label="Metrics that are attributes"
              mono
              value={(transport.sparkplugAttributesMetricNames ?? []).join(", ")}
              onText={(text) => set({ sparkplugAttributesMetricNames: text.split(",").map((each) => each.trim()).filter(Boolean) })}
              hint="With commas between them; a * at the end stands for anything. All others are telemetry."
            />
          ) : (
            <div class="row">
              <span>Payloads</span>
              <Choice
                label="Payload form"
                value={payload}
                options={PAYLOADS}
                onPick={(value) => set({ transportPayloadTypeConfiguration: { ...transport.transportPayloadTypeConfiguration, transportPayloadType: value as PayloadType } })}
              />
              {payload === "PROTOBUF" && <a href={`/profiles/${draft.id?.id}/schemas`}>Edit the schemas</a>}
            </div>
          )}
          <label class="check">
            <input type="checkbox" checked={transport.sendAckOnValidationException ?? false} onChange={(event) => set({ sendAckOnValidationException: event.currentTarget.checked })} />
            Acknowledge payloads that cannot be read, instead of closing the connection (MQTT 3.1.1)
          </label>
        </div>
      </Panel>
      {!transport.sparkplug && <Topics transport={transport} set={set} />}
    </div>
  );
}

function Topics({ transport, set }: { transport: Transport; set: (part: Partial<Transport>) => void }) {
  const [sample, setSample] = useState(TELEMETRY);
  const telemetry = transport.deviceTelemetryTopic ?? TELEMETRY;
  const attributes = transport.deviceAttributesTopic ?? ATTRIBUTES;
  const meaning = fits(telemetry, sample) ? "telemetry" : fits(attributes, sample) ? "attributes" : null;
  return (
    <Panel title="Topics of their own" actions={<span class="faint">The standard topics work beside them</span>}>
      <div class="stack">
        <TextField label="Telemetry" mono value={telemetry} onText={(text) => set({ deviceTelemetryTopic: text })} error={fault(telemetry)} hint="A filter: + stands for one level, # at the end for all that follow." />
        <TextField label="Attributes from the device" mono value={attributes} onText={(text) => set({ deviceAttributesTopic: text })} error={fault(attributes) ?? (attributes === telemetry ? "Telemetry has this filter already." : undefined)} />
        <TextField
          label="Attributes to the device"
          mono
          value={transport.deviceAttributesSubscribeTopic ?? ATTRIBUTES}
          onText={(text) => set({ deviceAttributesSubscribeTopic: text })}
          error={fault(transport.deviceAttributesSubscribeTopic ?? ATTRIBUTES)}
          hint="With + or # changes are published on a topic that fits what the device subscribed to."
        />
        <TextField label="Try a topic" mono value={sample} onText={setSample} />
        <div aria-live="polite">
          {meaning ? <Badge tone="good">A message on it is {meaning}</Badge> : <Badge tone="warn">It fits neither filter; the standard topics keep their meaning</Badge>}
        </div>
      </div>
    </Panel>
  );
}

// What is wrong with a filter (MQTT 5, 4.7.1); the server judges the same when the profile is saved.
function fault(filter: string): string | undefined {
  const levels = filter.split("/");
  if (filter === "") return "A filter must not be empty.";
  if (levels.some((level) => level.includes("+") && level !== "+")) return "A + stands alone between slashes.";
  if (levels.some((level, n) => level.includes("#") && (level !== "#" || n !== levels.length - 1))) return "A # stands alone, as the last level.";
  return undefined;
}
