// The fleet as a dense list. Paging, search and filters are the server's, so its size does not matter here.

import { useEffect, useRef, useState } from "preact/hooks";
import { useAddress } from "../lib/address";
import { get } from "../lib/api";
import { useLoad, useSettled } from "../lib/load";
import { is } from "../lib/session";
import type { FleetDevice, Page } from "../lib/types";
import { Bones, Button, Empty, Failed } from "../parts/basic";
import { Icon } from "../parts/icons";
import { Pager } from "../parts/pager";
import { Bulk } from "./devices/bulk";
import { Filters, NO_FILTER, isFiltered, queryOf } from "./devices/filters";
import { Import } from "./devices/import";
import { NewDevice } from "./devices/new";
import { Rows } from "./devices/rows";

const SIZE = 50;

export function Devices() {
  const [shown, show] = useAddress({ ...NO_FILTER, page: "0", sort: "createdTime", order: "DESC" });
  const [creating, setCreating] = useState(false);
  const [importing, setImporting] = useState(false);
  const [chosen, setChosen] = useState<ReadonlyMap<string, FleetDevice>>(new Map());
  const search = useSlash();
  const { text, page, sort, order } = shown;
  const wanted = useSettled(text.trim());
  const query = { pageSize: SIZE, page, textSearch: wanted, sortProperty: sort, sortOrder: order, ...queryOf(shown) };
  const devices = useLoad((signal) => get<Page<FleetDevice>>("/api/thingport/devices", query, signal), Object.values({ ...query, certificateBefore: shown.certificate }), 10_000);
  const change = (part: Partial<typeof shown>) => show({ page: "0", ...part });
  const found = devices.value;
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
      <section class="panel" aria-busy={devices.busy}>
        <header>
          <label class="grow search">
            <Icon name="search" />
            <input ref={search} class="input" type="search" aria-label="Search devices" placeholder="Name, profile, label or customer" title="Press / to search" value={text} onInput={(event) => change({ text: event.currentTarget.value })} />
          </label>
          <Filters value={shown} change={change} />
        </header>
        {devices.error && <div class="body"><Failed error={devices.error} again={devices.again} stale={Boolean(found)} /></div>}
        {!found && !devices.error && <div class="body"><Bones lines={8} /></div>}
        {found?.totalElements === 0 && (isFiltered(shown) ? <NoneFound onClear={() => change(NO_FILTER)} /> : <FirstSteps onNew={() => setCreating(true)} />)}
        {found && found.totalElements > 0 && (
          <>
            {chosen.size > 0 && <Bulk chosen={[...chosen.values()]} onDone={() => (setChosen(new Map()), devices.again())} />}
            <Rows devices={found.data} sort={sort} order={order} onSort={change} chosen={chosen} onChoose={setChosen} />
            <Pager page={Number(page)} size={SIZE} total={found.totalElements} what="device" onPage={(next) => show({ page: String(next) })} />
          </>
        )}
      </section>
      {importing && <Import onClose={() => setImporting(false)} onDone={devices.again} />}
      {creating && <NewDevice onClose={() => setCreating(false)} />}
    </>
  );
}

// The key / leads to the search, unless somebody writes.
function useSlash() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const writes = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
      if (event.key !== "/" || writes || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return field;
}

function NoneFound({ onClear }: { onClear: () => void }) {
  return (
    <Empty title="No device matches">
      <Button onClick={onClear}>Clear search and filters</Button>
    </Empty>
  );
}

function FirstSteps({ onNew }: { onNew: () => void }) {
  if (!is("TENANT_ADMIN")) return <Empty title="No devices yet">Devices appear here once they are yours: claim one, or ask whoever runs them.</Empty>;
  return (
    <Empty title="Connect the first device">
      <ol class="steps">
        <li>Create a device. It gets an access token.</li>
        <li>Copy the command shown for it, and run it on any machine.</li>
        <li>Watch the first reading arrive on the device's page.</li>
      </ol>
      <Button kind="first" icon="plus" onClick={onNew}>
        Create a device
      </Button>
    </Empty>
  );
}
