// The four Protobuf schemas of a profile, judged as they are typed, and a bench to try them on bytes.

import { lazy } from "preact-iso";
import { useState } from "preact/hooks";
import { get, post } from "../../lib/api";
import { useDeed, useLoad, useSettled } from "../../lib/load";
import { clock } from "../../lib/text";
import type { DeviceRow, Page } from "../../lib/types";
import { Badge, Button, Choice, Field, Notice, Panel, Select, TextField } from "../../parts/basic";
import type { Finding } from "../../parts/editor";
import type { PartProps } from "../profile";
import type { Payload } from "./body";
import { Scroll } from "../../parts/scroll";

const Editor = lazy(() => import("../../parts/editor").then((module) => module.Editor));

type Kind = "TELEMETRY" | "ATTRIBUTES" | "RPC_REQUEST" | "RPC_RESPONSE";

const KINDS: { value: Kind; label: string; member: keyof Payload & string; example: string }[] = [
  {
    value: "TELEMETRY",
    label: "Telemetry",
    member: "deviceTelemetryProtoSchema",
    example: 'syntax = "proto3";\n\nmessage Telemetry {\n  optional double temperature = 1;\n  optional double humidity = 2;\n  optional bool doorOpen = 3;\n}\n',
  },
  { value: "ATTRIBUTES", label: "Attributes", member: "deviceAttributesProtoSchema", example: 'syntax = "proto3";\n\nmessage Attributes {\n  optional string serialNumber = 1;\n  optional string firmware = 2;\n}\n' },
  {
    value: "RPC_REQUEST",
    label: "RPC request",
    member: "deviceRpcRequestProtoSchema",
    example: 'syntax = "proto3";\n\nmessage RpcRequestMsg {\n  optional string method = 1;\n  optional int32 requestId = 2;\n  optional string params = 3;\n}\n',
  },
  { value: "RPC_RESPONSE", label: "RPC response", member: "deviceRpcResponseProtoSchema", example: 'syntax = "proto3";\n\nmessage RpcResponseMsg {\n  optional string payload = 1;\n}\n' },
];

interface Checked {
  valid: boolean;
  root: string | null;
  diagnostics: Finding[];
}

const NONE: Finding[] = [];

export function SchemasPart({ draft, change }: PartProps) {
  const transport = draft.profileData.transportConfiguration;
  const payload = transport.transportPayloadTypeConfiguration ?? { transportPayloadType: "JSON" as const };
  const [kind, setKind] = useState<Kind>("TELEMETRY");
  const row = KINDS.find((each) => each.value === kind)!;
  const text = String(payload[row.member] ?? "");
  const set = (part: Partial<Payload>) =>
    change({ ...draft, profileData: { ...draft.profileData, transportConfiguration: { ...transport, transportPayloadTypeConfiguration: { ...payload, ...part } } } });
  const rootMember = row.member.replace("Schema", "Root");
  const root = String(payload[rootMember] ?? "");
  const chosen = root ? { root } : {};
  const settled = useSettled(`${root}\n${text}`, 300);
  const checked = useLoad(async () => (text.trim() ? post<Checked>("/api/thingport/schema/check", { kind, schema: text, ...chosen }) : undefined), [kind, settled]);
  if (transport.type !== "MQTT" || payload.transportPayloadType !== "PROTOBUF") {
    return <Notice>Schemas belong to profiles whose payloads are Protobuf; this one's are {payload.transportPayloadType}. Choose Protobuf under Transport.</Notice>;
  }
  return (
    <div class="stack">
      <Panel
        title={<Choice label="Schema" value={kind} options={KINDS} onPick={(value) => setKind(value as Kind)} />}
        actions={
          <>
            {checked.value && (checked.value.valid ? <Badge tone="good">Root: {checked.value.root}</Badge> : <Badge tone="bad">Not valid</Badge>)}
            {!text.trim() && (
              <Button small onClick={() => set({ [row.member]: row.example })}>
                Begin with an example
              </Button>
            )}
          </>
        }
      >
        <div class="stack">
          <Editor key={kind} label={`${row.label} schema`} value={text} findings={checked.value?.diagnostics ?? NONE} onText={(next: string) => set({ [row.member]: next })} />
          {checked.error && <Notice tone="bad">{checked.error.message}</Notice>}
          {checked.value?.diagnostics.map((each) => (
            <Notice key={`${each.line}:${each.column}${each.message}`} tone="bad">
              Line {each.line}, column {each.column}: {each.message}
              {each.expected && <span class="dim"> Expected: {each.expected}</span>}
            </Notice>
          ))}
          <TextField label="Root message" mono value={root} onText={(name) => set({ [rootMember]: name || undefined })} hint="Empty: the last message of the file." />
        </div>
      </Panel>
      <Panel title="Beside Protobuf">
        <div class="stack">
          <label class="check">
            <input type="checkbox" checked={payload.enableCompatibilityWithJsonPayloadFormat ?? false} onChange={(event) => set({ enableCompatibilityWithJsonPayloadFormat: event.currentTarget.checked })} />
            Read payloads that are no Protobuf as JSON
          </label>
          <label class="check">
            <input
              type="checkbox"
              disabled={!payload.enableCompatibilityWithJsonPayloadFormat}
              checked={payload.useJsonPayloadFormatForDefaultDownlinkTopics ?? false}
              onChange={(event) => set({ useJsonPayloadFormatForDefaultDownlinkTopics: event.currentTarget.checked })}
            />
            Speak JSON to devices on the standard topics
          </label>
        </div>
      </Panel>
      <Bench kind={kind} schema={text} root={root} profile={draft.id?.id ?? ""} />
    </div>
  );
}

interface Trial extends Checked {
  packets: {
    at: number | null;
    topic: string | null;
    payload: string;
    fields: TrialField[];
    leftovers: TrialField[];
    readings: { key: string; type: string; value: unknown; ts: number }[];
    json: unknown;
    refused: { sentence: string; detail: string; remedy: string } | null;
  }[];
}

interface TrialField {
  offset: number;
  length: number;
  number: number;
  name: string;
  type: string;
  wireType: string;
  value: string;
}

// Bytes, pasted or captured, read with the schema as it stands in the editor.
function Bench({ kind, schema, root, profile }: { kind: Kind; schema: string; root: string; profile: string }) {
  const [from, setFrom] = useState("paste");
  const [bytes, setBytes] = useState("");
  const [device, setDevice] = useState("");
  const [trial, setTrial] = useState<Trial>();
  const { busy, error, run } = useDeed();
  const devices = useLoad((signal) => get<Page<DeviceRow>>("/api/tenant/deviceInfos", { pageSize: 50, page: 0, deviceProfileId: profile }, signal), [profile]);
  const options = (devices.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.name }));
  const attempt = () =>
    run(async () => {
      const source = from === "paste" ? { payload: bytes } : { deviceId: device || options[0]?.value, limit: 5 };
      setTrial(await post<Trial>("/api/thingport/schema/try", { kind, schema, ...(root ? { root } : {}), ...source }));
    });
  return (
    <Panel title="Try it before saving" actions={<Choice label="Bytes from" value={from} onPick={setFrom} options={[{ value: "paste", label: "Pasted bytes" }, { value: "trace", label: "A device's last packets" }]} />}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt();
        }}
      >
        {from === "paste" ? (
          <Field label="Payload" hint="Hexadecimal or base64; blanks do not matter.">
            {(field) => <textarea class="input" rows={3} spellcheck={false} {...field} value={bytes} onInput={(event) => setBytes(event.currentTarget.value)} />}
          </Field>
        ) : (
          <Select label="Device" value={device} onPick={setDevice} options={options} hint="What it sent while it was traced. Begin a trace on its page first." />
        )}
        {error && <Notice tone="bad">{error}</Notice>}
        <div class="row">
          <Button kind="first" type="submit" busy={busy} disabled={from === "paste" ? !bytes.trim() : options.length === 0}>
            Read
          </Button>
        </div>
        {trial && trial.packets.length === 0 && trial.valid && <Notice>This device has no traced packets.</Notice>}
        {trial?.packets.map((packet, n) => (
          <section key={n} class="panel">
            {packet.at !== null && (
              <header>
                <code class="grow wrap">{packet.topic}</code>
                <time class="faint mono">{clock(packet.at)}</time>
              </header>
            )}
            <div class="body stack">
              {packet.refused && (
                <Notice tone="bad">
                  <b>{packet.refused.sentence}</b> {packet.refused.detail} <span class="dim">{packet.refused.remedy}</span>
                </Notice>
              )}
              {packet.readings.length > 0 && (
                <p>
                  {packet.readings.map((each) => (
                    <span key={each.key} class="reading">
                      <b>{each.key}</b> <span class="mono">{JSON.stringify(each.value)}</span> <small>{each.type.toLowerCase()}</small>
                    </span>
                  ))}
                </p>
              )}
              <Fields title="Fields" rows={packet.fields} />
              <Fields title="Left over: bytes that the schema does not name" rows={packet.leftovers} />
            </div>
          </section>
        ))}
      </form>
    </Panel>
  );
}

function Fields({ title, rows }: { title: string; rows: TrialField[] }) {
  if (rows.length === 0) return null;
  return (
    <Scroll label={title}>
      <table class="table">
        <caption class="sr">{title}</caption>
        <thead>
          <tr>
            <th scope="col">{title}</th>
            <th scope="col">Number</th>
            <th scope="col">Type</th>
            <th scope="col" class="wide">Bytes</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={`${row.offset}.${row.number}`}>
              <td class="name">{row.name || <span class="faint">unknown</span>}</td>
              <td>{row.number}</td>
              <td>{row.type || row.wireType}</td>
              <td class="wide mono">
                {row.offset}-{row.offset + row.length - 1}
              </td>
              <td class="mono wrap">{row.value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
