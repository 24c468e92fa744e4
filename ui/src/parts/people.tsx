// People who sign in: listed, invited by a link, locked, deleted.

import { useState } from "preact/hooks";
import { get, post, remove } from "../lib/api";
import { useDeed } from "../lib/load";
import { claims } from "../lib/session";
import type { Id } from "../lib/types";
import { Button, Code, Dialog, Empty, Notice, Question, TextField } from "./basic";
import { Listing } from "./listing";
import { say } from "./toast";

export interface Person {
  id: Id;
  createdTime: number;
  email: string;
  authority: string;
  firstName: string | null;
  lastName: string | null;
}

export const ROLES: Record<string, string> = { SYS_ADMIN: "System administrator", TENANT_ADMIN: "Tenant administrator", CUSTOMER_USER: "Customer user" };

interface PeopleProps {
  path: string;
  // What a new one is beside its address.
  draft: Record<string, unknown>;
}

export function People({ path, draft }: PeopleProps) {
  const [round, setRound] = useState(0);
  const [inviting, setInviting] = useState(false);
  const [link, setLink] = useState<{ person: Person; url: string }>();
  const [deleting, setDeleting] = useState<Person>();
  const changed = () => setRound(round + 1);
  const show = async (person: Person) => {
    try {
      setLink({ person, url: await linkOf(person) });
    } catch (error) {
      say((error as Error).message, true);
    }
  };
  return (
    <>
      <Listing<Person>
        path={path}
        what="person"
        round={round}
        keyOf={(row) => row.id.id}
        empty={<Empty title="Nobody yet" />}
        actions={
          <Button small icon="plus" onClick={() => setInviting(true)}>
            Add a person
          </Button>
        }
        columns={[
          { name: "Email", show: (row) => <b class="name wrap">{row.email}</b> },
          { name: "Name", wide: true, show: (row) => [row.firstName, row.lastName].filter(Boolean).join(" ") || <span class="faint">-</span> },
          { name: "Role", wide: true, show: (row) => ROLES[row.authority] ?? row.authority },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                <Button small onClick={() => void show(row)}>
                  Link
                </Button>
                {row.id.id !== claims.value?.userId && <Button small kind="quiet" icon="trash" aria-label={`Delete ${row.email}`} onClick={() => setDeleting(row)} />}
              </div>
            ),
          },
        ]}
      />
      {inviting && (
        <Invite
          draft={draft}
          onClose={() => setInviting(false)}
          onDone={(person) => {
            changed();
            void show(person);
          }}
        />
      )}
      {link && (
        <Dialog title={`A link for ${link.person.email}`} onClose={() => setLink(undefined)}>
          <p>No mail is sent. Give this link to the person: with it they choose their password. It holds for 24 hours.</p>
          <Code text={link.url} />
        </Dialog>
      )}
      {deleting && <Delete person={deleting} onClose={() => setDeleting(undefined)} onDone={changed} />}
    </>
  );
}

// Who never signed in gets a link for the first password, everybody else one for a new password.
async function linkOf(person: Person): Promise<string> {
  const { additionalInfo } = await get<{ additionalInfo: { userActivated?: boolean } | null }>(`/api/user/${person.id.id}`);
  const found = additionalInfo?.userActivated
    ? await get<{ value: string }>(`/api/thingport/users/${person.id.id}/resetLink`)
    : await get<{ value: string }>(`/api/user/${person.id.id}/activationLinkInfo`);
  return found.value;
}

function Invite({ draft, onClose, onDone }: { draft: Record<string, unknown>; onClose: () => void; onDone: (person: Person) => void }) {
  const [email, setEmail] = useState("");
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const { busy, error, run } = useDeed();
  const create = () =>
    run(async () => {
      const body = { ...draft, email: email.trim(), firstName: first.trim() || null, lastName: last.trim() || null };
      const person = await post<Person>("/api/user", body, { sendActivationMail: false });
      onClose();
      onDone(person);
    });
  return (
    <Dialog title="Add a person" onClose={onClose} onSubmit={() => void create()}>
      <TextField label="Email" type="email" required autofocus value={email} onText={setEmail} />
      <div class="columns">
        <TextField label="First name" value={first} onText={setFirst} />
        <TextField label="Last name" value={last} onText={setLast} />
      </div>
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

function Delete({ person, onClose, onDone }: { person: Person; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/user/${person.id.id}`);
      onDone();
      onClose();
    });
  return (
    <Question title={`Delete ${person.email}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      This person is signed out at once and cannot sign in again. API keys of theirs end too.
    </Question>
  );
}
