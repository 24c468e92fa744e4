// What people decide about a device: how it is called, its profile, whose it is, and its end.

import { useLocation } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { get, post, remove } from "../../lib/api";
import { useDeed, useLoad } from "../../lib/load";
import { is } from "../../lib/session";
import type { Customer, Device, Page, ProfileName } from "../../lib/types";
import { Badge, Button, Field, Notice, Panel, Question, Select, TextField } from "../../parts/basic";
import { say } from "../../parts/toast";
import type { TabProps } from "../device";

export function Settings(props: TabProps) {
  if (!is("TENANT_ADMIN")) return <GiveBack {...props} />;
  return (
    <div class="stack">
      <Details {...props} />
      <Owner {...props} />
      <End {...props} />
    </div>
  );
}

function Details({ device, again }: TabProps) {
  const [name, setName] = useState(device.name);
  const [label, setLabel] = useState(device.label ?? "");
  const [about, setAbout] = useState(device.additionalInfo?.description ?? "");
  const [profile, setProfile] = useState(device.deviceProfileId.id);
  const [gateway, setGateway] = useState(device.additionalInfo?.gateway ?? false);
  const { busy, error, run } = useDeed();
  const profiles = useLoad((signal) => get<Page<ProfileName>>("/api/deviceProfileInfos", { pageSize: 200, page: 0, sortProperty: "name", sortOrder: "ASC" }, signal), []);
  const known = (profiles.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.name }));
  const options = known.some((each) => each.value === profile) ? known : [{ value: profile, label: device.deviceProfileName }, ...known];
  const save = () =>
    run(async () => {
      const held = await get<Device>(`/api/device/${device.id.id}`);
      const additionalInfo = { ...held.additionalInfo, gateway, description: about };
      await post("/api/device", { ...held, name: name.trim(), label: label.trim() || null, deviceProfileId: { entityType: "DEVICE_PROFILE", id: profile }, additionalInfo });
      say("Saved. The device follows at once.");
      again();
    });
  return (
    <Panel title="Details">
      <form
        class="stack narrow"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <TextField label="Name" required value={name} onText={setName} hint="Unique among your devices. Gateways and claims know it by its name." />
        <TextField label="Label" value={label} onText={setLabel} hint="What people call it. May stay empty." />
        <Select label="Profile" value={profile} onPick={setProfile} options={options} hint="How it speaks. A package of its own belongs to its profile." />
        <Field label="Description">{(field) => <textarea class="input prose" rows={3} {...field} value={about} onInput={(event) => setAbout(event.currentTarget.value)} />}</Field>
        <label class="check">
          <input type="checkbox" checked={gateway} onChange={(event) => setGateway(event.currentTarget.checked)} />
          It is a gateway: it speaks for devices behind it
        </label>
        {error && <Notice tone="bad">{error}</Notice>}
        <div class="row">
          <Button kind="first" type="submit" busy={busy} disabled={!name.trim()}>
            Save
          </Button>
        </div>
      </form>
    </Panel>
  );
}

// Whose the device is: given by hand, or claimed by whoever knows a secret.
function Owner({ device, again }: TabProps) {
  const held = device.customerTitle ? device.customerId.id : "";
  const [customer, setCustomer] = useState(held);
  useEffect(() => setCustomer(held), [held]);
  const { busy, error, run } = useDeed();
  const customers = useLoad((signal) => get<Page<Customer>>("/api/customers", { pageSize: 200, page: 0, sortProperty: "title", sortOrder: "ASC" }, signal), []);
  const known = (customers.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.title }));
  const options = [{ value: "", label: "Nobody" }, ...(held && !known.some((each) => each.value === held) ? [{ value: held, label: device.customerTitle ?? "" }] : []), ...known];
  const save = () =>
    run(async () => {
      await (customer ? post(`/api/customer/${customer}/device/${device.id.id}`) : remove(`/api/customer/device/${device.id.id}`));
      say(customer ? "The customer's people see the device from now on." : "No customer sees the device any more.");
      again();
    });
  return (
    <Panel title="Whose it is" actions={device.customerIsPublic && <Badge tone="info">Public</Badge>}>
      <div class="stack narrow">
        <Select label="Customer" value={customer} onPick={setCustomer} options={options} />
        {error && <Notice tone="bad">{error}</Notice>}
        <div class="row">
          <Button busy={busy} disabled={customer === held} onClick={() => void save()}>
            Hand over
          </Button>
        </div>
        {!held && <Claiming device={device} again={again} />}
      </div>
    </Panel>
  );
}

const HOURS = [
  { value: "1", label: "an hour" },
  { value: "24", label: "a day" },
  { value: "168", label: "a week" },
  { value: "720", label: "30 days" },
];

function Claiming({ device }: TabProps) {
  const [secret, setSecret] = useState("");
  const [hours, setHours] = useState("24");
  const { busy, error, run } = useDeed();
  const allow = () =>
    run(async () => {
      const claimingData = { secretKey: secret, expirationTime: Date.now() + Number(hours) * 3_600_000 };
      await post(`/api/plugins/telemetry/DEVICE/${device.id.id}/attributes/SERVER_SCOPE`, { claimingData });
      say(`Who knows the secret may claim ${device.name} now.`);
      setSecret("");
    });
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void allow();
      }}
    >
      <h3>Let a customer's person claim it</h3>
      <p class="dim">Who signs in for a customer takes it with its name and this secret. Devices can allow the same themselves, on v1/devices/me/claim.</p>
      <div class="columns tight">
        <TextField label="Secret" mono value={secret} onText={setSecret} />
        <Select label="For" value={hours} onPick={setHours} options={HOURS} />
      </div>
      {error && <Notice tone="bad">{error}</Notice>}
      <div class="row">
        <Button type="submit" busy={busy} disabled={!secret}>
          Allow it
        </Button>
      </div>
    </form>
  );
}

function GiveBack({ device }: TabProps) {
  const { route } = useLocation();
  const [asking, setAsking] = useState(false);
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/customer/device/${encodeURIComponent(device.name)}/claim`);
      say(`${device.name} is given back.`);
      route("/devices");
    });
  return (
    <Panel title="Whose it is">
      <div class="row">
        <span class="grow">This device is yours{device.customerTitle && `, of ${device.customerTitle}`}.</span>
        <Button kind="danger" onClick={() => setAsking(true)}>
          Give it back
        </Button>
      </div>
      {asking && (
        <Question title={`Give ${device.name} back?`} deed="Give it back" busy={busy} error={error} onYes={() => void yes()} onClose={() => setAsking(false)}>
          You no longer see it. It may be claimed again with its secret.
        </Question>
      )}
    </Panel>
  );
}

function End({ device }: TabProps) {
  const { route } = useLocation();
  const [asking, setAsking] = useState(false);
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/device/${device.id.id}`);
      say(`${device.name} is deleted.`);
      route("/devices");
    });
  return (
    <Panel title="Delete it">
      <div class="row">
        <span class="grow dim">Its readings, attributes and credentials go with it, and it can no longer connect.</span>
        <Button kind="danger" icon="trash" onClick={() => setAsking(true)}>
          Delete the device
        </Button>
      </div>
      {asking && (
        <Question title={`Delete ${device.name}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={() => setAsking(false)}>
          Its readings, attributes and credentials go with it. This cannot be undone.
        </Question>
      )}
    </Panel>
  );
}
