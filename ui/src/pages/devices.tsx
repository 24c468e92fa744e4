// The fleet as a dense list. Paging, search and filters are the server's, so its size does not matter here.

import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { get } from "../lib/api";
import { useLoad, useSettled } from "../lib/load";
import { claims, is } from "../lib/session";
import type { DeviceRow, Page, ProfileName } from "../lib/types";
import { Ago, Badge, Bones, Button, Dot, Empty, Failed, Select } from "../parts/basic";
import { Icon } from "../parts/icons";
import { Pager } from "../parts/pager";
import { Bulk } from "./devices/bulk";
import { Import } from "./devices/import";
import { NewDevice } from "./devices/new";

const SIZE = 50;

interface Sort {
  by: string;
  up: boolean;
}

export function Devices() {
  const [text, setText] = useState("");
  const [profile, setProfile] = useState("");
  const [active, setActive] = useState("");
  const [page, setPage] = useState(0);
  const [sort, setSort] = useState<Sort>({ by: "createdTime", up: false });
  const [creating, setCreating] = useState(false);
  const [importing, setImporting] = useState(false);
  const [chosen, setChosen] = useState<ReadonlyMap<string, DeviceRow>>(new Map());
  const wanted = useSettled(text);
  const base = is("TENANT_ADMIN") ? "/api/tenant/deviceInfos" : `/api/customer/${claims.value?.customerId}/deviceInfos`;
  const query = {
    pageSize: SIZE,
    page,
    textSearch: wanted.trim(),
    deviceProfileId: profile,
    active,
    sortProperty: sort.by,
    sortOrder: sort.up ? "ASC" : "DESC",
  };
  const devices = useLoad((signal) => get<Page<DeviceRow>>(base, query, signal), [base, ...Object.values(query)], 10_000);
  const filtered = Boolean(wanted || profile || active);
  const first = <T,>(set: (value: T) => void) => (value: T) => (setPage(0), set(value));
  return (
    <>
      <div class="head">
        <h1 class="grow">Devices</h1>
        {is("TENANT_ADMIN") && (
          <>
            <Button icon="upload" onClick={() => setImporting(true)}>
              Import
            </Button>
            <Button kind="first" icon="plus" onClick={() => setCreating(true)}>
              New device
            </Button>
          </>
        )}
      </div>
      <section class="panel">
        <header>
          <label class="grow search">
            <Icon name="search" />
            <input class="input" type="search" aria-label="Search devices" placeholder="Name, profile or label" value={text} onInput={(event) => first(setText)(event.currentTarget.value)} />
          </label>
          {is("TENANT_ADMIN") && <ProfileFilter value={profile} onPick={first(setProfile)} />}
          <Select bare label="Reporting" value={active} onPick={first(setActive)} options={[{ value: "", label: "Reporting or not" }, { value: "true", label: "Reporting" }, { value: "false", label: "Silent" }]} />
        </header>
        {devices.error && <div class="body"><Failed error={devices.error} again={devices.again} /></div>}
        {!devices.value && !devices.error && <div class="body"><Bones lines={8} /></div>}
        {devices.value && devices.value.totalElements === 0 && (filtered ? <NoneFound /> : <FirstSteps onNew={() => setCreating(true)} />)}
        {devices.value && devices.value.totalElements > 0 && (
          <>
            {chosen.size > 0 && <Bulk chosen={[...chosen.values()]} onDone={() => (setChosen(new Map()), devices.again())} />}
            <Rows devices={devices.value.data} sort={sort} onSort={first(setSort)} chosen={chosen} onChoose={setChosen} />
            <Pager page={page} size={SIZE} total={devices.value.totalElements} what="device" onPage={setPage} />
          </>
        )}
      </section>
      {importing && <Import onClose={() => setImporting(false)} onDone={devices.again} />}
      {creating && <NewDevice onClose={() => setCreating(false)} />}
    </>
  );
}

function ProfileFilter({ value, onPick }: { value: string; onPick: (value: string) => void }) {
  const profiles = useLoad((signal) => get<Page<ProfileName>>("/api/deviceProfileInfos", { pageSize: 100, page: 0, sortProperty: "name", sortOrder: "ASC" }, signal), []);
  const options = (profiles.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.name }));
  return <Select bare label="Profile" value={value} onPick={onPick} options={[{ value: "", label: "Every profile" }, ...options]} />;
}

interface RowsProps {
  devices: DeviceRow[];
  sort: Sort;
  onSort: (sort: Sort) => void;
  // Those that something is to be done to, also on other pages of the list.
  chosen: ReadonlyMap<string, DeviceRow>;
  onChoose: (chosen: ReadonlyMap<string, DeviceRow>) => void;
}

function Rows({ devices, sort, onSort, chosen, onChoose }: RowsProps) {
  const { route } = useLocation();
  const choosing = is("TENANT_ADMIN");
  const all = devices.every((each) => chosen.has(each.id.id));
  const choose = (rows: DeviceRow[], on: boolean) => {
    const next = new Map(chosen);
    for (const each of rows) {
      if (on) next.set(each.id.id, each);
      else next.delete(each.id.id);
    }
    onChoose(next);
  };
  const column = (by: string, name: string, wide = false) => (
    <th scope="col" class={wide ? "wide" : ""} aria-sort={sort.by === by ? (sort.up ? "ascending" : "descending") : "none"}>
      <button type="button" onClick={() => onSort({ by, up: sort.by === by ? !sort.up : true })}>
        {name}
        {sort.by === by && <Icon name={sort.up ? "up" : "down"} />}
      </button>
    </th>
  );
  return (
    <div class="scroll">
      <table class="table">
        <thead>
          <tr>
            {choosing && (
              <th scope="col" class="tick">
                <input type="checkbox" aria-label="Choose all on this page" checked={all} onChange={(event) => choose(devices, event.currentTarget.checked)} />
              </th>
            )}
            {column("name", "Name")}
            {column("deviceProfileName", "Profile")}
            {column("customerTitle", "Customer", true)}
            {column("label", "Label", true)}
            {column("createdTime", "Created", true)}
          </tr>
        </thead>
        <tbody>
          {devices.map((device) => (
            <tr key={device.id.id} class="link" onClick={() => route(`/devices/${device.id.id}`)}>
              {choosing && (
                <td class="tick" onClick={(event) => event.stopPropagation()}>
                  <input type="checkbox" aria-label={`Choose ${device.name}`} checked={chosen.has(device.id.id)} onChange={(event) => choose([device], event.currentTarget.checked)} />
                </td>
              )}
              <td>
                <span class="row tight">
                  <Dot tone={device.active ? "good" : ""} label={device.active ? "Reporting" : "Silent"} />
                  <a class="name" href={`/devices/${device.id.id}`} onClick={(event) => event.stopPropagation()}>
                    {device.name}
                  </a>
                  {device.additionalInfo?.gateway && <Badge tone="accent">Gateway</Badge>}
                </span>
              </td>
              <td>{device.deviceProfileName}</td>
              <td class="wide">{device.customerIsPublic ? <Badge tone="info">Public</Badge> : (device.customerTitle ?? <span class="faint">-</span>)}</td>
              <td class="wide">{device.label || <span class="faint">-</span>}</td>
              <td class="wide">
                <Ago at={device.createdTime} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NoneFound() {
  return <Empty title="No device matches">Change the search or the filters.</Empty>;
}

function FirstSteps({ onNew }: { onNew: () => void }) {
  return (
    <Empty title="Connect the first device">
      <ol class="steps">
        <li>Create a device. It gets an access token.</li>
        <li>Copy the command shown for it, and run it on any machine.</li>
        <li>Watch the first reading arrive on the device's page.</li>
      </ol>
      {is("TENANT_ADMIN") && (
        <Button kind="first" icon="plus" onClick={onNew}>
          Create a device
        </Button>
      )}
    </Empty>
  );
}
