// The rows of the fleet: who it is, whether it is there, when it last said something, and what went wrong.

import { useLocation } from "preact-iso";
import { is } from "../../lib/session";
import type { FleetDevice } from "../../lib/types";
import { Ago, Badge, Dot } from "../../parts/basic";
import { Icon } from "../../parts/icons";
import { Scroll } from "../../parts/scroll";

interface RowsProps {
  devices: FleetDevice[];
  sort: string;
  order: string;
  onSort: (by: { sort: string; order: string }) => void;
  // Those that something is to be done to, also on other pages of the list.
  chosen: ReadonlyMap<string, FleetDevice>;
  onChoose: (chosen: ReadonlyMap<string, FleetDevice>) => void;
}

export function Rows({ devices, sort, order, onSort, chosen, onChoose }: RowsProps) {
  const choosing = is("TENANT_ADMIN");
  const all = devices.every((each) => chosen.has(each.id.id));
  const choose = (rows: FleetDevice[], on: boolean) => {
    const next = new Map(chosen);
    for (const each of rows) {
      if (on) next.set(each.id.id, each);
      else next.delete(each.id.id);
    }
    onChoose(next);
  };
  const column = (by: string, name: string, wide = "") => (
    <th scope="col" class={wide} aria-sort={sort === by ? (order === "ASC" ? "ascending" : "descending") : "none"}>
      <button type="button" onClick={() => onSort({ sort: by, order: sort === by && order === "ASC" ? "DESC" : "ASC" })}>
        {name}
        {sort === by && <Icon name={order === "ASC" ? "up" : "down"} />}
      </button>
    </th>
  );
  return (
    <Scroll label="Devices">
      <table class="table fleet">
        <thead>
          <tr>
            {choosing && (
              <th scope="col" class="tick">
                <input type="checkbox" aria-label="Choose all on this page" checked={all} onChange={(event) => choose(devices, event.currentTarget.checked)} />
              </th>
            )}
            {column("name", "Name")}
            <th scope="col">State</th>
            <th scope="col" class="wide">
              Last reading
            </th>
            <th scope="col" class="wide">
              Last refusal
            </th>
            {column("deviceProfileName", "Profile", "wide")}
            {choosing && column("customerTitle", "Customer", "wide")}
            {column("createdTime", "Created", "wider")}
          </tr>
        </thead>
        <tbody>
          {devices.map((device) => (
            <Row key={device.id.id} device={device} choosing={choosing} chosen={chosen.has(device.id.id)} onChoose={(on) => choose([device], on)} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Row({ device, choosing, chosen, onChoose }: { device: FleetDevice; choosing: boolean; chosen: boolean; onChoose: (on: boolean) => void }) {
  const { route } = useLocation();
  const stay = (event: Event) => event.stopPropagation();
  const path = `/devices/${device.id.id}`;
  return (
    <tr class="link" onClick={() => route(path)}>
      {choosing && (
        <td class="tick" onClick={stay}>
          <input type="checkbox" aria-label={`Choose ${device.name}`} checked={chosen} onChange={(event) => onChoose(event.currentTarget.checked)} />
        </td>
      )}
      <td class="who">
        <a class="name" href={path} onClick={stay}>
          {device.name}
        </a>
        {device.additionalInfo?.gateway && <Badge tone="accent">Gateway</Badge>}
        {device.label && <small class="faint clip">{device.label}</small>}
      </td>
      <td>
        <State device={device} />
      </td>
      <td class="wide">
        <Ago at={device.lastReadingTime} none="never" />
      </td>
      <td class="wide">
        {device.lastRefusal ? (
          <a class="refusal" href={`${path}/events`} title={device.lastRefusal.sentence} onClick={stay}>
            <span class="clip">{device.lastRefusal.sentence}</span>
            <small class="faint">
              <Ago at={device.lastRefusal.at} />
            </small>
          </a>
        ) : (
          <span class="faint">-</span>
        )}
      </td>
      <td class="wide">{device.deviceProfileName}</td>
      {choosing && <td class="wide">{device.customerIsPublic ? <Badge tone="info">Public</Badge> : (device.customerTitle ?? <span class="faint">-</span>)}</td>}
      <td class="wider">
        <Ago at={device.createdTime} />
      </td>
    </tr>
  );
}

// Connected and reporting are two truths: one may be without the other.
function State({ device }: { device: FleetDevice }) {
  const word = device.connected ? "Connected" : "Not connected";
  return (
    <span class="state">
      <Dot tone={device.connected ? "good" : ""} live={device.connected} label="" />
      <span>
        {word}
        <small class="faint">
          {device.active ? "reporting" : device.lastReadingTime || device.connected ? "silent" : "never heard"}
          {device.lastReadingTime && (
            <span class="narrow-only">
              , <Ago at={device.lastReadingTime} />
            </span>
          )}
        </small>
      </span>
    </span>
  );
}
