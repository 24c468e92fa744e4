// Whom the device belongs together with: its gateway, the devices behind it, and anything else.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { find, get, post, remove } from "../../lib/api";
import { useDeed, useLoad } from "../../lib/load";
import { is } from "../../lib/session";
import { count } from "../../lib/text";
import type { Device, Id } from "../../lib/types";
import { Bones, Button, Choice, Dialog, Empty, Failed, Notice, Panel, TextField } from "../../parts/basic";
import { say } from "../../parts/toast";
import type { TabProps } from "../device";

interface Relation {
  from: Id;
  to: Id;
  type: string;
  typeGroup: string;
  fromName?: string | null;
  toName?: string | null;
}

export function Relations({ device }: TabProps) {
  const id = { fromId: device.id.id, fromType: "DEVICE" };
  const [adding, setAdding] = useState(false);
  const below = useLoad((signal) => get<Relation[]>("/api/relations/info", id, signal), [device.id.id]);
  const above = useLoad((signal) => get<Relation[]>("/api/relations/info", { toId: device.id.id, toType: "DEVICE" }, signal), [device.id.id]);
  const again = () => (below.again(), above.again());
  // Gateways make the devices behind them, and this is how one knows them (GW-021).
  const gateway = above.value?.find((row) => row.type === "Created" && row.from.entityType === "DEVICE");
  const error = below.error ?? above.error;
  return (
    <div class="stack">
      {error && <Failed error={error} again={again} />}
      {gateway && (
        <Notice>
          It speaks through the gateway <a href={`/devices/${gateway.from.id}`}>{gateway.fromName ?? gateway.from.id}</a>, or did when it was made.
        </Notice>
      )}
      <Side title="It belongs to" rows={above.value} other={(row) => ({ id: row.from, name: row.fromName })} again={again} empty="No gateway or group names this device." />
      <Side
        title={device.additionalInfo?.gateway ? "Devices behind this gateway, and others" : "Belongs to it"}
        rows={below.value}
        other={(row) => ({ id: row.to, name: row.toName })}
        again={again}
        empty={device.additionalInfo?.gateway ? "Devices that the gateway speaks for appear here as it connects them." : "Nothing belongs to this device."}
        action={
          is("TENANT_ADMIN") && (
            <Button small icon="plus" onClick={() => setAdding(true)}>
              Add
            </Button>
          )
        }
      />
      {adding && <Add device={device} onClose={() => setAdding(false)} onDone={again} />}
    </div>
  );
}

interface SideProps {
  title: string;
  rows: Relation[] | undefined;
  other: (row: Relation) => { id: Id; name: string | null | undefined };
  again: () => void;
  empty: string;
  action?: ComponentChildren;
}

const SHOWN_MAX = 200;

function Side({ title, rows, other, again, empty, action }: SideProps) {
  const [text, setText] = useState("");
  const drop = async (row: Relation) => {
    const query = { fromId: row.from.id, fromType: row.from.entityType, relationType: row.type, toId: row.to.id, toType: row.to.entityType };
    await remove("/api/relation", query).then(again, (error: Error) => say(error.message, true));
  };
  const found = (rows ?? []).filter((row) => (other(row).name ?? other(row).id.id).toLowerCase().includes(text.toLowerCase()));
  return (
    <Panel title={title} actions={action} flush>
      {!rows && <div class="body"><Bones lines={2} /></div>}
      {rows?.length === 0 && <Empty title="None">{empty}</Empty>}
      {rows && rows.length > 12 && (
        <div class="body">
          <input class="input" type="search" aria-label={`Search: ${title}`} placeholder={`Search among ${count(rows.length)}`} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </div>
      )}
      {rows && rows.length > 0 && (
        <table class="table">
          <tbody>
            {found.slice(0, SHOWN_MAX).map((row) => {
              const { id, name } = other(row);
              return (
                <tr key={row.type + id.id}>
                  <td>{id.entityType === "DEVICE" ? <a href={`/devices/${id.id}`}>{name ?? id.id}</a> : (name ?? id.id)}</td>
                  <td class="dim">{id.entityType.toLowerCase()}</td>
                  <td>{row.type}</td>
                  <td>
                    <div class="row end">{is("TENANT_ADMIN") && <Button small kind="quiet" icon="trash" aria-label={`Remove ${name ?? id.id}`} onClick={() => void drop(row)} />}</div>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {found.length > SHOWN_MAX && <div class="pager">The first {SHOWN_MAX} are shown; search for the others.</div>}
    </Panel>
  );
}

function Add({ device, onClose, onDone }: { device: Device; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState("");
  const [type, setType] = useState("Contains");
  const { busy, error, run } = useDeed();
  const add = () =>
    run(async () => {
      const to = await find<Device>("/api/tenant/devices", { deviceName: name.trim() });
      if (!to) throw new Error(`There is no device named "${name.trim()}".`);
      await post("/api/relation", { from: device.id, to: to.id, type, typeGroup: "COMMON" });
      onDone();
      onClose();
    });
  return (
    <Dialog title="Belongs to it" onClose={onClose} onSubmit={() => void add()}>
      <TextField label="Name of the device" required autofocus value={name} onText={setName} />
      <Choice label="Kind of relation" value={type} onPick={setType} options={[{ value: "Contains", label: "Contains" }, { value: "Manages", label: "Manages" }, { value: "Created", label: "Created" }]} />
      {error && <Notice tone="bad">{error}</Notice>}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit" busy={busy}>
          Add
        </Button>
      </footer>
    </Dialog>
  );
}
