// Which devices of the fleet are shown. Each filter is a question to the server.

import { useState } from "preact/hooks";
import type { Query } from "../../lib/api";
import { get } from "../../lib/api";
import { useLoad } from "../../lib/load";
import { is } from "../../lib/session";
import type { Customer, Page, ProfileName } from "../../lib/types";
import { Button, type Option, Select } from "../../parts/basic";

export const NO_FILTER = { text: "", profile: "", customer: "", connected: "", active: "", kind: "", certificate: "" };

type Filter = typeof NO_FILTER;

export const isFiltered = (filter: Filter) => Object.keys(NO_FILTER).some((name) => filter[name as keyof Filter] !== "");

export function queryOf(filter: Filter): Query {
  return {
    deviceProfileId: filter.profile,
    customerId: filter.customer,
    connected: filter.connected,
    active: filter.active,
    gateway: filter.kind && filter.kind === "gateway",
    certificateBefore: filter.certificate && Date.now() + Number(filter.certificate) * DAY_MS,
  };
}

const DAY_MS = 86_400_000;

const CONNECTED = [
  { value: "", label: "Any connection" },
  { value: "true", label: "Connected" },
  { value: "false", label: "Not connected" },
];

const REPORTING = [
  { value: "", label: "Any activity" },
  { value: "true", label: "Reporting" },
  { value: "false", label: "Silent" },
];

const KINDS = [
  { value: "", label: "Any kind" },
  { value: "gateway", label: "Gateways" },
  { value: "device", label: "No gateways" },
];

const CERTIFICATES = [
  { value: "", label: "Any credentials" },
  { value: "0", label: "Certificate expired" },
  { value: "7", label: "Certificate ends within 7 days" },
  { value: "30", label: "Certificate ends within 30 days" },
  { value: "90", label: "Certificate ends within 90 days" },
];

export function Filters({ value, change }: { value: Filter; change: (part: Partial<Filter>) => void }) {
  const [open, setOpen] = useState(false);
  const set = Object.entries(value).filter(([name, text]) => name in NO_FILTER && name !== "text" && text !== "").length;
  return (
    <>
      <span class="narrow-only">
        <Button icon="filter" aria-expanded={open} onClick={() => setOpen(!open)}>
          {set > 0 ? `Filters: ${set}` : "Filters"}
        </Button>
      </span>
      <div class={`filters ${open ? "open" : ""}`}>
        <Select bare label="Connected" value={value.connected} onPick={(connected) => change({ connected })} options={CONNECTED} />
        <Select bare label="Reporting" value={value.active} onPick={(active) => change({ active })} options={REPORTING} />
        {is("TENANT_ADMIN") && (
          <>
            <Profiles value={value.profile} onPick={(profile) => change({ profile })} />
            <Customers value={value.customer} onPick={(customer) => change({ customer })} />
          </>
        )}
        <Select bare label="Kind" value={value.kind} onPick={(kind) => change({ kind })} options={KINDS} />
        <Select bare label="Certificate" value={value.certificate} onPick={(certificate) => change({ certificate })} options={CERTIFICATES} />
      </div>
    </>
  );
}

interface PickProps {
  value: string;
  onPick: (value: string) => void;
}

function Profiles({ value, onPick }: PickProps) {
  const found = useLoad((signal) => get<Page<ProfileName>>("/api/deviceProfileInfos", { pageSize: LISTED_MAX, page: 0, sortProperty: "name", sortOrder: "ASC" }, signal), []);
  const options = (found.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.name }));
  return <Select bare label="Profile" value={value} onPick={onPick} options={[{ value: "", label: "Every profile" }, ...options, ...more(found.value)]} />;
}

function Customers({ value, onPick }: PickProps) {
  const found = useLoad((signal) => get<Page<Customer>>("/api/customers", { pageSize: LISTED_MAX, page: 0, sortProperty: "title", sortOrder: "ASC" }, signal), []);
  const options = (found.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.title }));
  return <Select bare label="Customer" value={value} onPick={onPick} options={[{ value: "", label: "Every customer" }, ...options, ...more(found.value)]} />;
}

// A list that ends early says so.
const more = (page: Page<unknown> | undefined): Option[] => (page?.hasNext ? [{ value: "-", label: "More: search for the name", disabled: true }] : []);

const LISTED_MAX = 200;
