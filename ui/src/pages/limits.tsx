// What tenants may do: tenant profiles, each a table of limits that several tenants share.

import { useState } from "preact/hooks";
import { post, remove } from "../lib/api";
import { useDeed } from "../lib/load";
import type { Id } from "../lib/types";
import { Ago, Badge, Button, Dialog, Empty, Notice, Question, TextField } from "../parts/basic";
import { Listing } from "../parts/listing";
import { say } from "../parts/toast";

type Configuration = Record<string, unknown>;

interface Profile {
  id?: Id;
  createdTime?: number;
  name: string;
  description: string | null;
  default?: boolean;
  profileData: { configuration: Configuration; [name: string]: unknown };
  [name: string]: unknown;
}

export function Limits() {
  const [round, setRound] = useState(0);
  const [editing, setEditing] = useState<Profile>();
  const [deleting, setDeleting] = useState<Profile>();
  const changed = () => setRound(round + 1);
  const makeDefault = (row: Profile) => post(`/api/tenantProfile/${row.id!.id}/default`).then(changed, (error: Error) => say(error.message, true));
  return (
    <>
      <div class="head">
        <h1 class="grow">Limits</h1>
        <Button kind="first" icon="plus" onClick={() => setEditing({ name: "", description: null, profileData: { configuration: { type: "DEFAULT" } } })}>
          New tenant profile
        </Button>
      </div>
      <Listing<Profile>
        path="/api/tenantProfiles"
        what="tenant profile"
        round={round}
        keyOf={(row) => row.id!.id}
        empty={<Empty title="No tenant profiles" />}
        columns={[
          {
            name: "Profile",
            show: (row) => (
              <span class="row">
                <b class="name">{row.name}</b>
                {row.default && <Badge tone="accent">Default</Badge>}
              </span>
            ),
          },
          { name: "Limits", show: (row) => <Summary of={row.profileData.configuration} /> },
          { name: "Created", wide: true, show: (row) => <Ago at={row.createdTime} /> },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                {!row.default && (
                  <Button small kind="quiet" onClick={() => void makeDefault(row)}>
                    Make default
                  </Button>
                )}
                <Button small icon="edit" aria-label={`Change ${row.name}`} onClick={() => setEditing(row)} />
                {!row.default && <Button small kind="quiet" icon="trash" aria-label={`Delete ${row.name}`} onClick={() => setDeleting(row)} />}
              </div>
            ),
          },
        ]}
      />
      {editing && <Edit start={editing} onClose={() => setEditing(undefined)} onDone={changed} />}
      {deleting && <Delete of={deleting} onClose={() => setDeleting(undefined)} onDone={changed} />}
    </>
  );
}

interface Limit {
  member: string;
  label: string;
  // A text such as 100:1; a whole number otherwise.
  rate?: boolean;
}

// What the server acts upon, and how people would say it. Everything else of a profile is kept as it came.
const GROUPS: { title: string; about: string; limits: Limit[] }[] = [
  {
    title: "What one device may send",
    about: "COUNT:SECONDS, such as 10:1 or 10:1,300:60. Empty: no limit.",
    limits: [
      { member: "transportDeviceTelemetryMsgRateLimit", label: "Telemetry messages", rate: true },
      { member: "transportDeviceTelemetryDataPointsRateLimit", label: "Readings", rate: true },
      { member: "transportDeviceMsgRateLimit", label: "Other messages", rate: true },
    ],
  },
  {
    title: "What all devices of a tenant may send",
    about: "COUNT:SECONDS as above; per month a whole number, 0 for no limit.",
    limits: [
      { member: "transportTenantTelemetryMsgRateLimit", label: "Telemetry messages", rate: true },
      { member: "transportTenantTelemetryDataPointsRateLimit", label: "Readings", rate: true },
      { member: "transportTenantMsgRateLimit", label: "Other messages", rate: true },
      { member: "maxTransportMessages", label: "Messages in a month" },
      { member: "maxTransportDataPoints", label: "Readings in a month" },
    ],
  },
  {
    title: "What a gateway may send",
    about: "For the devices behind it, and for itself.",
    limits: [
      { member: "transportGatewayTelemetryMsgRateLimit", label: "Telemetry messages of its devices", rate: true },
      { member: "transportGatewayTelemetryDataPointsRateLimit", label: "Readings of its devices", rate: true },
      { member: "transportGatewayMsgRateLimit", label: "Other messages of its devices", rate: true },
      { member: "transportGatewayDeviceTelemetryMsgRateLimit", label: "Telemetry messages of its own", rate: true },
      { member: "transportGatewayDeviceTelemetryDataPointsRateLimit", label: "Readings of its own", rate: true },
      { member: "transportGatewayDeviceMsgRateLimit", label: "Other messages of its own", rate: true },
    ],
  },
  {
    title: "How much a tenant may have",
    about: "0: no limit. Days: 0 keeps for ever.",
    limits: [
      { member: "maxDevices", label: "Devices" },
      { member: "maxCustomers", label: "Customers" },
      { member: "maxUsers", label: "People" },
      { member: "maxOtaPackagesInBytes", label: "Bytes of packages" },
      { member: "defaultStorageTtlDays", label: "Days that readings are kept" },
      { member: "rpcTtlDays", label: "Days that calls are kept" },
    ],
  },
  {
    title: "What people and programs may do",
    about: "Requests as COUNT:SECONDS; sessions and subscriptions over WebSocket as numbers, 0 for no limit.",
    limits: [
      { member: "tenantServerRestLimitsConfiguration", label: "Requests of a tenant", rate: true },
      { member: "customerServerRestLimitsConfiguration", label: "Requests of a customer", rate: true },
      { member: "maxWsSessionsPerTenant", label: "Sessions of a tenant" },
      { member: "maxWsSessionsPerCustomer", label: "Sessions of a customer" },
      { member: "maxWsSubscriptionsPerTenant", label: "Subscriptions of a tenant" },
      { member: "maxWsSubscriptionsPerCustomer", label: "Subscriptions of a customer" },
      { member: "wsUpdatesPerSessionRateLimit", label: "Updates in one session", rate: true },
    ],
  },
];

const ALL = GROUPS.flatMap((group) => group.limits);

const isSet = (value: unknown) => value !== undefined && value !== null && value !== "" && value !== 0;

function Summary({ of }: { of: Configuration }) {
  const set = ALL.filter((limit) => isSet(of[limit.member]));
  if (set.length === 0) return <span class="faint">Nothing is limited</span>;
  return (
    <span class="row">
      {set.slice(0, 4).map((limit) => (
        <Badge key={limit.member}>
          {limit.label.toLowerCase()} {String(of[limit.member])}
        </Badge>
      ))}
      {set.length > 4 && <span class="faint">and {set.length - 4} more</span>}
    </span>
  );
}

const RATE = /^\s*[1-9]\d*:[1-9]\d*\s*(,\s*[1-9]\d*:[1-9]\d*\s*)*$/;

function faultOf(limit: Limit, text: string): string | undefined {
  if (text.trim() === "") return undefined;
  if (limit.rate) return RATE.test(text) ? undefined : "COUNT:SECONDS is expected, such as 10:1.";
  return /^\d+$/.test(text.trim()) ? undefined : "A whole number is expected.";
}

function Edit({ start, onClose, onDone }: { start: Profile; onClose: () => void; onDone: () => void }) {
  const held = start.profileData.configuration;
  const [name, setName] = useState(start.name);
  const [texts, setTexts] = useState<Record<string, string>>(() => Object.fromEntries(ALL.map(({ member }) => [member, isSet(held[member]) ? String(held[member]) : ""])));
  const { busy, error, run } = useDeed();
  const wrong = ALL.some((limit) => faultOf(limit, texts[limit.member] ?? ""));
  const save = () =>
    run(async () => {
      const values = ALL.map((limit) => {
        const text = (texts[limit.member] ?? "").trim();
        return [limit.member, limit.rate ? text || null : Number(text || 0)];
      });
      const configuration = { ...held, ...Object.fromEntries(values) };
      await post("/api/tenantProfile", { ...start, name: name.trim(), profileData: { ...start.profileData, configuration } });
      say("Saved. Tenants with this profile follow at once.");
      onDone();
      onClose();
    });
  return (
    <Dialog wide title={start.id ? `Limits of ${start.name}` : "New tenant profile"} onClose={onClose} onSubmit={() => void save()}>
      <TextField label="Name" required autofocus={!start.id} value={name} onText={setName} />
      {GROUPS.map((group) => (
        <fieldset key={group.title} class="group">
          <legend>{group.title}</legend>
          <p class="faint">{group.about}</p>
          <div class="columns tight">
            {group.limits.map((limit) => (
              <TextField key={limit.member} label={limit.label} mono placeholder="no limit" value={texts[limit.member] ?? ""} error={faultOf(limit, texts[limit.member] ?? "")} onText={(text) => setTexts((before) => ({ ...before, [limit.member]: text }))} />
            ))}
          </div>
        </fieldset>
      ))}
      {error && <Notice tone="bad">{error}</Notice>}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit" busy={busy} disabled={wrong}>
          Save
        </Button>
      </footer>
    </Dialog>
  );
}

function Delete({ of, onClose, onDone }: { of: Profile; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/tenantProfile/${of.id!.id}`);
      onDone();
      onClose();
    });
  return (
    <Question title={`Delete ${of.name}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      A profile that tenants have cannot be deleted.
    </Question>
  );
}
