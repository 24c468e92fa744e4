// Calls to the device: once, with an answer, or kept until the device has them.

import { useState } from "preact/hooks";
import { ApiError, find, get, post, remove } from "../../lib/api";
import { useDeed, useLoad } from "../../lib/load";
import { is } from "../../lib/session";
import { moment } from "../../lib/text";
import type { Page } from "../../lib/types";
import { Ago, Badge, Bones, Button, Choice, Empty, Failed, Field, Notice, Panel, TextField } from "../../parts/basic";
import { say } from "../../parts/toast";
import type { TabProps } from "../device";

interface Call {
  id: { id: string };
  createdTime: number;
  expirationTime: number;
  request: { oneway: boolean; body: { method: string; params: string } };
  response: unknown;
  status: "QUEUED" | "SENT" | "DELIVERED" | "SUCCESSFUL" | "TIMEOUT" | "EXPIRED" | "FAILED";
}

const TONES: Record<Call["status"], "good" | "warn" | "bad" | "info" | ""> = {
  QUEUED: "",
  SENT: "info",
  DELIVERED: "good",
  SUCCESSFUL: "good",
  TIMEOUT: "warn",
  EXPIRED: "bad",
  FAILED: "bad",
};

const KINDS = [
  { value: "twoway", label: "Wait for the answer" },
  { value: "oneway", label: "One-way" },
  { value: "persistent", label: "Keep until delivered" },
];

interface Template {
  method: string;
  params: string;
}

const EXAMPLES: Template[] = [
  { method: "getStatus", params: "{}" },
  { method: "setValue", params: "true" },
  { method: "reboot", params: "{}" },
];

export function Rpc({ device }: TabProps) {
  const calls = useLoad(
    (signal) => get<Page<Call>>(`/api/rpc/persistent/device/${device.id.id}`, { pageSize: 20, page: 0, sortProperty: "createdTime", sortOrder: "DESC" }, signal),
    [device.id.id],
    2_000,
  );
  return (
    <div class="stack">
      <Console deviceId={device.id.id} onKept={calls.again} />
      <Panel title="Calls that were kept" flush>
        {calls.error && <div class="body"><Failed error={calls.error} again={calls.again} /></div>}
        {!calls.value && !calls.error && <div class="body"><Bones lines={3} /></div>}
        {calls.value?.data.length === 0 && <Empty title="None yet">A call that is kept waits for the device, also over a restart of the server.</Empty>}
        <ul>
          {calls.value?.data.map((call) => <Kept key={call.id.id} call={call} again={calls.again} />)}
        </ul>
      </Panel>
    </div>
  );
}

interface Outcome {
  good: boolean;
  text: string;
  tookMs: number;
}

function Console({ deviceId, onKept }: { deviceId: string; onKept: () => void }) {
  const storage = `thingport.rpc.${deviceId}`;
  const [kind, setKind] = useState("twoway");
  const [method, setMethod] = useState("");
  const [params, setParams] = useState("{}");
  const [seconds, setSeconds] = useState("10");
  const [outcome, setOutcome] = useState<Outcome>();
  const [recent, setRecent] = useState<Template[]>(() => JSON.parse(localStorage.getItem(storage) ?? "[]"));
  const { busy, run } = useDeed();
  const fault = jsonFault(params);

  const call = () =>
    run(async () => {
      const began = performance.now();
      setOutcome(undefined);
      const tell = (good: boolean, text: string) => setOutcome({ good, text, tookMs: performance.now() - began });
      const template = { method: method.trim(), params };
      const next = [template, ...recent.filter((each) => each.method !== template.method || each.params !== params)].slice(0, 8);
      setRecent(next);
      localStorage.setItem(storage, JSON.stringify(next));
      const body = { method: template.method, params: JSON.parse(params), timeout: Number(seconds) * 1_000, ...(kind === "persistent" ? { persistent: true } : {}) };
      try {
        const answer = await post<unknown>(`/api/rpc/${kind === "oneway" ? "oneway" : "twoway"}/${deviceId}`, body);
        if (kind === "persistent") tell(true, "It is kept. Its way is shown below.");
        else tell(true, kind === "oneway" ? "The device has it." : JSON.stringify(answer, null, 2));
      } catch (error) {
        tell(false, await why(error as Error, deviceId));
      }
      if (kind === "persistent") onKept();
    });

  return (
    <Panel title="Call the device" actions={<Choice label="Kind of call" value={kind} options={KINDS} onPick={setKind} />}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void call();
        }}
      >
        <div class="row">
          {[...recent, ...EXAMPLES.filter((each) => !recent.some((other) => other.method === each.method))].slice(0, 8).map((each) => (
            <button key={each.method + each.params} type="button" class="badge pick" title={each.params} onClick={() => (setMethod(each.method), setParams(each.params))}>
              {each.method}
            </button>
          ))}
        </div>
        <div class="columns">
          <TextField label="Method" required mono value={method} onText={setMethod} />
          <TextField label={kind === "persistent" ? "Lives for, in seconds" : "Waits for, in seconds"} type="number" value={seconds} onText={setSeconds} />
        </div>
        <Field label="Parameters" hint="Any JSON." error={fault}>
          {(field) => <textarea class="input" {...field} value={params} onInput={(event) => setParams(event.currentTarget.value)} />}
        </Field>
        <div class="row">
          <Button kind="first" type="submit" busy={busy} disabled={!method.trim() || Boolean(fault)}>
            {busy ? "Waiting" : "Call"}
          </Button>
          {outcome && <span class="faint">{outcome.tookMs < 10 ? outcome.tookMs.toFixed(1) : Math.round(outcome.tookMs)} ms</span>}
        </div>
        {outcome && (
          <Notice tone={outcome.good ? "good" : "bad"}>
            <pre class="wrap">{outcome.text}</pre>
          </Notice>
        )}
      </form>
    </Panel>
  );
}

function jsonFault(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `This is not JSON: ${(error as Error).message}`;
  }
}

// The status of a failed call says little; the device's presence says why.
async function why(error: Error, deviceId: string): Promise<string> {
  if (!(error instanceof ApiError) || ![408, 409, 504].includes(error.status)) return error.message;
  const presence = await find<{ connected: { connected: boolean } }>(`/api/thingport/devices/${deviceId}/presence`).catch(() => null);
  if (presence && !presence.connected.connected) return "The device is not connected, so nobody could answer. A call that is kept would wait for it.";
  return "The device is connected and did not answer in time. Look whether it subscribed to v1/devices/me/rpc/request/+ and answers on v1/devices/me/rpc/response/<number>.";
}

const STEPS: Call["status"][] = ["QUEUED", "SENT", "DELIVERED", "SUCCESSFUL"];

function Kept({ call, again }: { call: Call; again: () => void }) {
  const steps = call.request.oneway ? STEPS.slice(0, 3) : STEPS;
  const reached = steps.indexOf(call.status);
  const withdraw = async () => {
    await remove(`/api/rpc/persistent/${call.id.id}`).catch((error: Error) => say(error.message, true));
    again();
  };
  return (
    <li class="incident">
      <div class="row">
        <b class="mono">{call.request.body.method}</b>
        <span class="mono dim grow clip">{call.request.body.params}</span>
        <Badge tone={TONES[call.status]}>{call.status.toLowerCase()}</Badge>
        {is("TENANT_ADMIN") && <Button small kind="quiet" icon="trash" aria-label={`Delete the call ${call.request.body.method}`} onClick={() => void withdraw()} />}
      </div>
      <ol class="ladder" aria-label="How far it has come">
        {steps.map((step, n) => (
          <li key={step} class={n <= reached ? "done" : ""}>
            {step.toLowerCase()}
          </li>
        ))}
      </ol>
      <p class="faint row">
        <span>
          made <Ago at={call.createdTime} />
        </span>
        <span>ends {moment(call.expirationTime, false)}</span>
      </p>
      {call.response !== null && call.response !== undefined && <pre class="wrap">{JSON.stringify(call.response)}</pre>}
    </li>
  );
}
