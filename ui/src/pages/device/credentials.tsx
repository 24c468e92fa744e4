// How the device proves who it is: a token, names with a password, or a certificate.

import { useEffect, useState } from "preact/hooks";
import { get, post } from "../../lib/api";
import { useDeed, useLoad } from "../../lib/load";
import { is } from "../../lib/session";
import { Bones, Button, Choice, Copy, Failed, Field, Notice, Panel, TextField } from "../../parts/basic";
import { say } from "../../parts/toast";
import type { TabProps } from "../device";
import { CertificatePeek } from "../../parts/certificate";

type Kind = "ACCESS_TOKEN" | "MQTT_BASIC" | "X509_CERTIFICATE";

interface Credentials {
  id: { id: string };
  deviceId: { entityType: string; id: string };
  credentialsType: Kind;
  credentialsId: string;
  credentialsValue: string | null;
  version: number;
}

interface Basic {
  clientId: string;
  userName: string;
  password: string;
}

const KINDS = [
  { value: "ACCESS_TOKEN", label: "Access token" },
  { value: "MQTT_BASIC", label: "MQTT basic" },
  { value: "X509_CERTIFICATE", label: "X.509 certificate" },
];

export function CredentialsTab({ device }: TabProps) {
  const held = useLoad((signal) => get<Credentials>(`/api/device/${device.id.id}/credentials`, {}, signal), [device.id.id]);
  if (held.error) return <Failed error={held.error} again={held.again} />;
  if (!held.value) return <Bones />;
  return <Edit start={held.value} />;
}

function Edit({ start }: { start: Credentials }) {
  const [held, setHeld] = useState(start);
  const [kind, setKind] = useState<Kind>(held.credentialsType);
  const [token, setToken] = useState(held.credentialsType === "ACCESS_TOKEN" ? held.credentialsId : "");
  const [basic, setBasic] = useState<Basic>(() => basicOf(held));
  const [certificate, setCertificate] = useState(held.credentialsType === "X509_CERTIFICATE" ? (held.credentialsValue ?? "") : "");
  const { busy, error, run, clear } = useDeed();
  useEffect(clear, [kind]);
  const writable = is("TENANT_ADMIN");
  const save = () =>
    run(async () => {
      const saved = await post<Credentials>("/api/device/credentials", { ...held, credentialsType: kind, ...filled(kind, token, basic, certificate) });
      setHeld(saved);
      if (saved.credentialsType === "ACCESS_TOKEN") setToken(saved.credentialsId);
      say("Saved. Sessions with the old credentials are closed.");
    });
  return (
    <Panel title="Credentials" actions={<Choice label="Kind" value={kind} options={KINDS} onPick={(value) => writable && setKind(value as Kind)} />}>
      <form
        class="stack narrow"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        {kind === "ACCESS_TOKEN" && (
          <>
            <TextField label="Access token" mono value={token} onText={setToken} hint="The device sends it as its user name, or in the path over HTTP. 1 to 32 characters are usual." />
            <div class="row">
              <Copy text={token} label="Copy the token" />
              {writable && (
                <Button small icon="again" onClick={() => setToken(random(20))}>
                  New random token
                </Button>
              )}
            </div>
          </>
        )}
        {kind === "MQTT_BASIC" && (
          <>
            <TextField label="Client id" mono value={basic.clientId} onText={(clientId) => setBasic({ ...basic, clientId })} hint="Empty: any client id." />
            <TextField label="User name" mono value={basic.userName} onText={(userName) => setBasic({ ...basic, userName })} hint="Needed with a password. At least one of client id and user name is needed." />
            <TextField label="Password" mono value={basic.password} onText={(password) => setBasic({ ...basic, password })} hint="Empty: any password." />
            {writable && (
              <div class="row">
                <Button small icon="again" onClick={() => setBasic({ clientId: random(20), userName: random(20), password: random(20) })}>
                  Fill in at random
                </Button>
              </div>
            )}
          </>
        )}
        {kind === "X509_CERTIFICATE" && (
          <>
            <Field label="Certificate" hint="PEM with or without its frame, or a whole chain: the first certificate counts.">
              {(field) => <textarea class="input" rows={10} spellcheck={false} {...field} value={certificate} onInput={(event) => setCertificate(event.currentTarget.value)} />}
            </Field>
            <CertificatePeek text={certificate} />
          </>
        )}
        {error && <Notice tone="bad">{error}</Notice>}
        {writable && (
          <div class="row">
            <Button kind="first" type="submit" busy={busy}>
              Save
            </Button>
            <span class="dim">Sessions that used the old credentials are closed at once.</span>
          </div>
        )}
      </form>
    </Panel>
  );
}

function basicOf(held: Credentials): Basic {
  const value = held.credentialsType === "MQTT_BASIC" ? (JSON.parse(held.credentialsValue ?? "{}") as Partial<Record<keyof Basic, string | null>>) : {};
  return { clientId: value.clientId ?? "", userName: value.userName ?? "", password: value.password ?? "" };
}

function filled(kind: Kind, token: string, basic: Basic, certificate: string) {
  switch (kind) {
    case "ACCESS_TOKEN":
      return { credentialsId: token, credentialsValue: null };
    case "MQTT_BASIC": {
      const value = { clientId: basic.clientId || null, userName: basic.userName || null, password: basic.password || null };
      return { credentialsId: null, credentialsValue: JSON.stringify(value) };
    }
    case "X509_CERTIFICATE":
      return { credentialsId: null, credentialsValue: certificate };
  }
}

const LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

const random = (length: number) => Array.from(crypto.getRandomValues(new Uint32Array(length)), (n) => LETTERS[n % LETTERS.length]).join("");
