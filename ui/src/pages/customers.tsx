// Customers of the tenant, and the people who sign in for each.

import { useState } from "preact/hooks";
import { post, remove } from "../lib/api";
import { useDeed } from "../lib/load";
import type { Id } from "../lib/types";
import { Ago, Badge, Button, Dialog, Empty, Notice, Question, TextField } from "../parts/basic";
import { Listing } from "../parts/listing";
import { People } from "../parts/people";
import { say } from "../parts/toast";

interface Customer {
  id: Id;
  createdTime: number;
  title: string;
  email: string | null;
  additionalInfo: { isPublic?: boolean } | null;
}

export function Customers() {
  const [round, setRound] = useState(0);
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Customer>();
  const [people, setPeople] = useState<Customer>();
  const changed = () => setRound(round + 1);
  return (
    <>
      <div class="head">
        <h1 class="grow">Customers</h1>
        <Button kind="first" icon="plus" onClick={() => setCreating(true)}>
          New customer
        </Button>
      </div>
      <Listing<Customer>
        path="/api/customers"
        what="customer"
        round={round}
        keyOf={(row) => row.id.id}
        empty={<Empty title="No customers yet">A customer's people see the devices that are assigned to it, and only those.</Empty>}
        columns={[
          {
            name: "Title",
            show: (row) => (
              <span class="row">
                <b class="name">{row.title}</b>
                {row.additionalInfo?.isPublic && <Badge tone="info">Public</Badge>}
              </span>
            ),
          },
          { name: "Email", wide: true, show: (row) => row.email || <span class="faint">-</span> },
          { name: "Created", wide: true, show: (row) => <Ago at={row.createdTime} /> },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                <Button small onClick={() => setPeople(row)}>
                  People
                </Button>
                <Button small kind="quiet" icon="trash" aria-label={`Delete ${row.title}`} onClick={() => setDeleting(row)} />
              </div>
            ),
          },
        ]}
      />
      {creating && <New onClose={() => setCreating(false)} onDone={changed} />}
      {people && (
        <Dialog wide title={`People of ${people.title}`} onClose={() => setPeople(undefined)}>
          <People path={`/api/customer/${people.id.id}/users`} draft={{ authority: "CUSTOMER_USER", customerId: people.id }} />
        </Dialog>
      )}
      {deleting && <Delete customer={deleting} onClose={() => setDeleting(undefined)} onDone={changed} />}
    </>
  );
}

function New({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [title, setTitle] = useState("");
  const [email, setEmail] = useState("");
  const { busy, error, run } = useDeed();
  const create = () =>
    run(async () => {
      await post("/api/customer", { title: title.trim(), email: email.trim() || null });
      onDone();
      onClose();
    });
  return (
    <Dialog title="New customer" onClose={onClose} onSubmit={() => void create()}>
      <TextField label="Title" required autofocus value={title} onText={setTitle} />
      <TextField label="Email" type="email" value={email} onText={setEmail} />
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

function Delete({ customer, onClose, onDone }: { customer: Customer; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/customer/${customer.id.id}`);
      say(`${customer.title} is deleted.`);
      onDone();
      onClose();
    });
  return (
    <Question title={`Delete ${customer.title}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      Its people can no longer sign in, and its devices belong to nobody again. Readings stay.
    </Question>
  );
}
