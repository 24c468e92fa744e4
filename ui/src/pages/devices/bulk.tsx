// What is done to several devices at once: given to a customer, taken back, deleted.

import { useState } from "preact/hooks";
import { get, post, remove } from "../../lib/api";
import { useDeed, useLoad } from "../../lib/load";
import { plural } from "../../lib/text";
import type { Customer, DeviceRow, Page } from "../../lib/types";
import { Button, Dialog, Notice, Question, Select } from "../../parts/basic";
import { say } from "../../parts/toast";

interface BulkProps {
  chosen: DeviceRow[];
  onDone: () => void;
}

export function Bulk({ chosen, onDone }: BulkProps) {
  const [asking, setAsking] = useState<"assign" | "delete">();
  return (
    <div class="bulk row" role="toolbar" aria-label="Chosen devices">
      <b class="grow">{plural(chosen.length, "device")} chosen</b>
      <Button small onClick={() => setAsking("assign")}>
        Customer
      </Button>
      <Button small kind="danger" icon="trash" onClick={() => setAsking("delete")}>
        Delete
      </Button>
      <Button small kind="quiet" onClick={onDone}>
        Choose none
      </Button>
      {asking === "assign" && <Assign chosen={chosen} onClose={() => setAsking(undefined)} onDone={onDone} />}
      {asking === "delete" && <Delete chosen={chosen} onClose={() => setAsking(undefined)} onDone={onDone} />}
    </div>
  );
}

// Does it for each, a few at a time, and says how many it went wrong for.
async function forEach(chosen: DeviceRow[], deed: (device: DeviceRow) => Promise<unknown>): Promise<string[]> {
  const failed: string[] = [];
  const line = [...chosen];
  const worker = async () => {
    for (let device = line.shift(); device; device = line.shift()) {
      await deed(device).catch((error: Error) => failed.push(`${device!.name}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  return failed;
}

interface AskProps extends BulkProps {
  onClose: () => void;
}

function Assign({ chosen, onClose, onDone }: AskProps) {
  const [customer, setCustomer] = useState("");
  const { busy, error, run } = useDeed();
  const customers = useLoad((signal) => get<Page<Customer>>("/api/customers", { pageSize: 200, page: 0, sortProperty: "title", sortOrder: "ASC" }, signal), []);
  const options = [{ value: "", label: "Nobody" }, ...(customers.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.title }))];
  const assign = () =>
    run(async () => {
      const held = customer ? chosen : chosen.filter((each) => each.customerTitle !== null || each.customerIsPublic);
      const failed = await forEach(held, (device) => (customer ? post(`/api/customer/${customer}/device/${device.id.id}`) : remove(`/api/customer/device/${device.id.id}`)));
      if (failed.length) throw new Error(failed.join("\n"));
      say(`${plural(chosen.length, "device")} changed hands.`);
      onClose();
      onDone();
    });
  return (
    <Dialog title={`Whose are ${plural(chosen.length, "device")}?`} onClose={onClose} onSubmit={() => void assign()}>
      <Select label="Customer" value={customer} options={options} onPick={setCustomer} hint="The customer's people see these devices from now on." />
      {error && (
        <Notice tone="bad">
          <pre class="wrap">{error}</pre>
        </Notice>
      )}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit" busy={busy}>
          Save
        </Button>
      </footer>
    </Dialog>
  );
}

function Delete({ chosen, onClose, onDone }: AskProps) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      const failed = await forEach(chosen, (device) => remove(`/api/device/${device.id.id}`));
      if (failed.length) throw new Error(failed.join("\n"));
      say(`${plural(chosen.length, "device")} deleted.`);
      onClose();
      onDone();
    });
  return (
    <Question title={`Delete ${plural(chosen.length, "device")}?`} deed={`Delete ${plural(chosen.length, "device")}`} busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      <div class="stack">
        <p>Their readings, attributes and credentials go with them, and they can no longer connect. This cannot be undone.</p>
        <ul class="dim">
          {chosen.slice(0, 8).map((each) => (
            <li key={each.id.id}>{each.name}</li>
          ))}
          {chosen.length > 8 && <li>and {chosen.length - 8} more</li>}
        </ul>
      </div>
    </Question>
  );
}
