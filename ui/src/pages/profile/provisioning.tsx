// How devices of the profile come to be: by hand, by asking with a key, or by a certificate chain.

import { useState } from "preact/hooks";
import { Badge, Copy, Field, Notice, Panel, Select, TextField } from "../../parts/basic";
import { post } from "../../lib/api";
import { useLoad, useSettled } from "../../lib/load";
import { CertificatePeek, type CertificateSight } from "../../parts/certificate";
import type { PartProps } from "../profile";
import type { Provision, ProvisionType } from "./body";

const TYPES: { value: ProvisionType; label: string }[] = [
  { value: "DISABLED", label: "Off: people create devices" },
  { value: "ALLOW_CREATE_NEW_DEVICES", label: "Devices create themselves" },
  { value: "CHECK_PRE_PROVISIONED_DEVICES", label: "Devices that people created fetch their credentials" },
  { value: "X509_CERTIFICATE_CHAIN", label: "Devices prove themselves by a certificate chain" },
];

const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(20)), (n) => LETTERS[n % LETTERS.length]).join("");

export function ProvisioningPart({ draft, change }: PartProps) {
  const held: Provision = draft.profileData.provisionConfiguration ?? { type: "DISABLED", provisionDeviceSecret: null };
  const set = (part: Partial<Provision>, key: string | null | undefined = draft.provisionDeviceKey) =>
    change({
      ...draft,
      provisionType: part.type ?? draft.provisionType,
      provisionDeviceKey: key ?? null,
      profileData: { ...draft.profileData, provisionConfiguration: { ...held, ...part } },
    });
  const pick = (type: ProvisionType) => {
    if (type === "DISABLED") set({ type, provisionDeviceSecret: null }, null);
    else if (type === "X509_CERTIFICATE_CHAIN") set({ type, provisionDeviceSecret: "", certificateRegExPattern: "([^@]+)", allowCreateNewDevicesByX509Certificate: true }, null);
    else set({ type, provisionDeviceSecret: random() }, random());
  };
  const chain = held.type === "X509_CERTIFICATE_CHAIN";
  return (
    <div class="stack">
      <Panel title="How devices come to be">
        <div class="stack narrow">
          <Select label="Strategy" value={held.type} options={TYPES} onPick={(value) => pick(value as ProvisionType)} />
          {held.type !== "DISABLED" && !chain && (
            <>
              <TextField label="Provisioning key" mono value={draft.provisionDeviceKey ?? ""} onText={(text) => set({}, text)} hint="The same for all devices of the profile; unique on this server." />
              <TextField label="Provisioning secret" mono value={held.provisionDeviceSecret ?? ""} onText={(text) => set({ provisionDeviceSecret: text })} />
              <div class="row">
                <Copy text={JSON.stringify({ deviceName: "a name", provisionDeviceKey: draft.provisionDeviceKey, provisionDeviceSecret: held.provisionDeviceSecret })} label="Copy a request" />
                <span class="dim">Devices log in as "provision" and publish such a request to /provision/request.</span>
              </div>
            </>
          )}
          {chain && <Chain held={held} set={(part) => set(part)} />}
        </div>
      </Panel>
      {chain && <Expression held={held} set={(part) => set(part)} />}
    </div>
  );
}

interface ChainProps {
  held: Provision;
  set: (part: Partial<Provision>) => void;
}

function Chain({ held, set }: ChainProps) {
  return (
    <>
      <Field label="CA certificate" hint="PEM of the certificate that signs those of the devices: a root or an intermediate one.">
        {(field) => <textarea class="input" rows={8} spellcheck={false} {...field} value={held.provisionDeviceSecret ?? ""} onInput={(event) => set({ provisionDeviceSecret: event.currentTarget.value })} />}
      </Field>
      <CertificatePeek text={held.provisionDeviceSecret ?? ""} />
      <label class="check">
        <input type="checkbox" checked={held.allowCreateNewDevicesByX509Certificate ?? false} onChange={(event) => set({ allowCreateNewDevicesByX509Certificate: event.currentTarget.checked })} />
        Create devices that are not there yet
      </label>
      <Select
        label="Judgement of the chain"
        value={held.chainVerification ?? "STRICT"}
        options={[
          { value: "STRICT", label: "Strict: signatures, periods, CA flags, key usage" },
          { value: "COMPATIBLE", label: "As ThingsBoard: signatures alone" },
        ]}
        onPick={(value) => set({ chainVerification: value as "STRICT" | "COMPATIBLE" })}
      />
      <Field label="Certificates taken back" hint="A revocation list in PEM. May stay empty.">
        {(field) => <textarea class="input" rows={4} spellcheck={false} {...field} value={held.certificateRevocationList ?? ""} onInput={(event) => set({ certificateRevocationList: event.currentTarget.value || null })} />}
      </Field>
    </>
  );
}

// The expression over the common name, tried as it is typed.
function Expression({ held, set }: ChainProps) {
  const [sample, setSample] = useState("pump-17.example.com");
  const pattern = held.certificateRegExPattern ?? "";
  const settled = useSettled(sample.trim(), 400);
  const pasted = useLoad(async () => (isCertificate(settled) ? post<CertificateSight>("/api/thingport/certificates/inspect", { certificate: settled }) : undefined), [settled]);
  const subject = isCertificate(sample) ? pasted.value?.subject : undefined;
  const name = isCertificate(sample) ? commonName(subject ?? "") : sample;
  const tried = attempt(pattern, name);
  return (
    <Panel title="The device's name in its certificate">
      <div class="stack narrow">
        <TextField label="Expression over the common name" mono value={pattern} onText={(text) => set({ certificateRegExPattern: text })} error={tried.fault} hint="What the first pair of parentheses catches is the name of the device." />
        <Field label="A common name, or a whole certificate, to try it with" hint={subject && `Its subject is ${subject}.`}>
          {(field) => <textarea class="input" rows={2} spellcheck={false} {...field} value={sample} onInput={(event) => setSample(event.currentTarget.value)} />}
        </Field>
        {isCertificate(sample) && pasted.error && <Notice tone="bad">{pasted.error.message}</Notice>}
        <div aria-live="polite">
          {tried.name !== undefined && (
            <Badge tone="good">
              The device is called <b class="mono">{tried.name}</b>
            </Badge>
          )}
          {tried.name === undefined && !tried.fault && <Notice tone="warn">It does not match: such a device would be refused.</Notice>}
        </div>
      </div>
    </Panel>
  );
}

const isCertificate = (text: string) => text.includes("-----BEGIN");

// CN of a subject as the server writes it, its most significant part last.
const commonName = (subject: string) => /(?:^|,\s*)CN=((?:\\.|[^,\\])*)/.exec(subject)?.[1]?.replace(/\\(.)/g, "$1") ?? "";

function attempt(pattern: string, sample: string): { name?: string; fault?: string } {
  if (!pattern) return { fault: "An expression is needed, such as ([^@]+)." };
  try {
    const expression = new RegExp(pattern);
    if (!/\((?!\?)/.test(pattern)) return { fault: "It needs a pair of parentheses around what is the name." };
    const found = expression.exec(sample)?.[1];
    return found === undefined ? {} : { name: found };
  } catch {
    return { fault: "This is not a regular expression." };
  }
}
