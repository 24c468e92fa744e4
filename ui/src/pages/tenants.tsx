// Tenants of this server, for its system administrators, and the administrators of each.

import { useState } from "preact/hooks";
import { post, remove } from "../lib/api";
import { useDeed } from "../lib/load";
import type { Id } from "../lib/types";
import { Ago, Button, Dialog, Empty, Notice, Question, TextField } from "../parts/basic";
import { Listing } from "../parts/listing";
import { People } from "../parts/people";
import { say } from "../parts/toast";

interface Tenant {
  id: Id;
  createdTime: number;
  title: string;
  tenantProfileName: string;
}

export function Tenants() {
  const [round, setRound] = useState(0);
  const [creating, setCreating] = useState(false);
  const [people, setPeople] = useState<Tenant>();
  const [deleting, setDeleting] = useState<Tenant>();
  const changed = () => setRound(round + 1);
  return (
    <>
      <div class="head">
        <h1 class="grow">Tenants</h1>
        <Button kind="first" icon="plus" onClick={() => setCreating(true)}>
          New tenant
        </Button>
      </div>
      <Listing<Tenant>
        path="/api/tenantInfos"
        what="tenant"
        round={round}
        keyOf={(row) => row.id.id}
        empty={<Empty title="No tenants yet">A tenant has its own devices, profiles, customers and people.</Empty>}
        columns={[
          { name: "Title", show: (row) => <b class="name">{row.title}</b> },
          { name: "Profile", wide: true, show: (row) => row.tenantProfileName },
          { name: "Created", wide: true, show: (row) => <Ago at={row.createdTime} /> },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                <Button small onClick={() => setPeople(row)}>
                  Administrators
                </Button>
                <Button small kind="quiet" icon="trash" aria-label={`Delete ${row.title}`} onClick={() => setDeleting(row)} />
              </div>
            ),
          },
        ]}
      />
      {creating && <New onClose={() => setCreating(false)} onDone={changed} />}
      {people && (
        <Dialog wide title={`Administrators of ${people.title}`} onClose={() => setPeople(undefined)}>
          <People path={`/api/tenant/${people.id.id}/users`} draft={{ authority: "TENANT_ADMIN", tenantId: people.id }} />
        </Dialog>
      )}
      {deleting && <Delete tenant={deleting} onClose={() => setDeleting(undefined)} onDone={changed} />}
    </>
  );
}

function New({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [title, setTitle] = useState("");
  const { busy, error, run } = useDeed();
  const create = () =>
    run(async () => {
      await post("/api/tenant", { title: title.trim() });
      onDone();
      onClose();
    });
  return (
    <Dialog title="New tenant" onClose={onClose} onSubmit={() => void create()}>
      <TextField label="Title" required autofocus value={title} onText={setTitle} />
      {error && <Notice tone="bad">{error}</Notice>}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit" busy={busy}>
          Create
        </Button>
      </footer>
    </Dialog>
  );
}

function Delete({ tenant, onClose, onDone }: { tenant: Tenant; onClose: () => void; onDone: () => void }) {
  const [typed, setTyped] = useState("");
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      if (typed !== tenant.title) throw new Error(`Type "${tenant.title}" to delete it.`);
      await remove(`/api/tenant/${tenant.id.id}`);
      say(`${tenant.title} is deleted.`);
      onDone();
      onClose();
    });
  return (
    <Question title={`Delete ${tenant.title}?`} deed="Delete everything" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      <div class="stack">
        <p>All its devices, readings, profiles, customers and people go. This cannot be undone.</p>
        <TextField label={`Type "${tenant.title}"`} value={typed} onText={setTyped} />
      </div>
    </Question>
  );
}
