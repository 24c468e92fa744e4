// Attributes in their three scopes: what the device says of itself, what it is told, what only people see.

import { useEffect, useState } from "preact/hooks";
import { post, remove } from "../../lib/api";
import { type Point, watch } from "../../lib/live";
import { useDeed } from "../../lib/load";
import { is } from "../../lib/session";
import { Ago, Bones, Button, Choice, Dialog, Empty, Field, LiveSign, Notice, Panel, Question, TextField } from "../../parts/basic";
import { say } from "../../parts/toast";
import type { TabProps } from "../device";
import { Scroll } from "../../parts/scroll";

type Scope = "CLIENT_SCOPE" | "SHARED_SCOPE" | "SERVER_SCOPE";

const SCOPES: { value: Scope; label: string; about: string }[] = [
  { value: "SHARED_SCOPE", label: "Shared", about: "People write them, the device is told of each change." },
  { value: "CLIENT_SCOPE", label: "Client", about: "The device writes them about itself." },
  { value: "SERVER_SCOPE", label: "Server", about: "The device never sees them." },
];

export function Attributes({ device }: TabProps) {
  const [scope, setScope] = useState<Scope>("SHARED_SCOPE");
  const [editing, setEditing] = useState<{ key: string; value: string } | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const { held, refused } = useAttributes(device.id.id, scope);
  const about = SCOPES.find((each) => each.value === scope)!;
  const writable = is("TENANT_ADMIN") && scope !== "CLIENT_SCOPE";
  return (
    <>
      <Panel
        title={<Choice label="Scope" value={scope} options={SCOPES} onPick={(value) => setScope(value as Scope)} />}
        actions={
          <>
            <LiveSign />
            {writable && (
              <Button small icon="plus" onClick={() => setEditing({ key: "", value: "" })}>
                Add
              </Button>
            )}
          </>
        }
        flush
      >
        <p class="body dim">{about.about}</p>
        {refused && <div class="body"><Notice tone="bad">{refused}</Notice></div>}
        {!held && !refused && <div class="body"><Bones lines={4} /></div>}
        {held?.size === 0 && <Empty title={`No ${about.label.toLowerCase()} attributes`} />}
        {held && held.size > 0 && (
          <Scroll label="Attributes">
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">Key</th>
                  <th scope="col">Value</th>
                  <th scope="col" class="wide">
                    Changed
                  </th>
                  <th scope="col">
                    <span class="sr">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {[...held].sort(([a], [b]) => a.localeCompare(b)).map(([key, [ts, value]]) => (
                  <tr key={key}>
                    <td class="name">{key}</td>
                    <td class="mono wrap">{value}</td>
                    <td class="wide">
                      <Ago at={ts} />
                    </td>
                    <td>
                      <div class="row end">
                        {writable && <Button small kind="quiet" icon="edit" aria-label={`Change ${key}`} onClick={() => setEditing({ key, value })} />}
                        {is("TENANT_ADMIN") && <Button small kind="quiet" icon="trash" aria-label={`Delete ${key}`} onClick={() => setDeleting(key)} />}
                      </div>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Panel>
      {editing && <Edit deviceId={device.id.id} scope={scope} start={editing} onClose={() => setEditing(null)} />}
      {deleting && <Delete deviceId={device.id.id} scope={scope} name={deleting} onClose={() => setDeleting(null)} />}
    </>
  );
}

function useAttributes(deviceId: string, scope: Scope) {
  const [held, setHeld] = useState<Map<string, Point>>();
  const [refused, setRefused] = useState<string>();
  useEffect(() => {
    const all = new Map<string, Point>();
    setHeld(undefined);
    setRefused(undefined);
    return watch(
      { deviceId, of: scope },
      (update) => {
        for (const [key, [point]] of Object.entries(update)) {
          if (!point) continue;
          // A deleted key is told as time 0 with an empty text.
          if (point[0] === 0 && point[1] === "") all.delete(key);
          else all.set(key, point);
        }
        setHeld(new Map(all));
      },
      setRefused,
    );
  }, [deviceId, scope]);
  return { held, refused };
}

// What a text stands for: JSON where it is JSON, else the text itself.
export function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function kindOf(value: unknown): string {
  if (Array.isArray(value) || (typeof value === "object" && value !== null)) return "JSON";
  return value === null ? "null, which is no value" : typeof value === "string" ? "a text" : `a ${typeof value}`;
}

function Edit({ deviceId, scope, start, onClose }: { deviceId: string; scope: Scope; start: { key: string; value: string }; onClose: () => void }) {
  const [key, setKey] = useState(start.key);
  const [text, setText] = useState(start.value);
  const { busy, error, run } = useDeed();
  const save = () =>
    run(async () => {
      await post(`/api/plugins/telemetry/DEVICE/${deviceId}/attributes/${scope}`, { [key.trim()]: valueOf(text) });
      say(scope === "SHARED_SCOPE" ? `${key} is saved; the device is told.` : `${key} is saved.`);
      onClose();
    });
  return (
    <Dialog title={start.key ? `Change ${start.key}` : "New attribute"} onClose={onClose} onSubmit={() => void save()}>
      {!start.key && <TextField label="Key" required autofocus mono value={key} onText={setKey} />}
      <Field label="Value" hint={`Kept as ${kindOf(valueOf(text))}.`}>
        {(field) => <textarea class="input" rows={3} {...field} value={text} onInput={(event) => setText(event.currentTarget.value)} />}
      </Field>
      {error && <Notice tone="bad">{error}</Notice>}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit" busy={busy} disabled={!key.trim() || text === ""}>
          Save
        </Button>
      </footer>
    </Dialog>
  );
}

function Delete({ deviceId, scope, name, onClose }: { deviceId: string; scope: Scope; name: string; onClose: () => void }) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/plugins/telemetry/DEVICE/${deviceId}/${scope}`, { keys: name });
      say(`${name} is deleted.`);
      onClose();
    });
  return (
    <Question title={`Delete ${name}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      {scope === "SHARED_SCOPE" ? "The device is told that it is gone." : "Its value is lost."}
    </Question>
  );
}
