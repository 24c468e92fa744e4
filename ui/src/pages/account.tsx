// One's own account: password, API keys, colleagues.

import { useState } from "preact/hooks";
import { post, put, remove, request } from "../lib/api";
import { useDeed } from "../lib/load";
import { authority, claims, is, keep } from "../lib/session";
import { moment } from "../lib/text";
import type { Id } from "../lib/types";
import { Ago, Badge, Button, Code, Dialog, Empty, Notice, Panel, Select, TextField } from "../parts/basic";
import { Listing } from "../parts/listing";
import { People, ROLES } from "../parts/people";
import { say } from "../parts/toast";

export function Account() {
  return (
    <>
      <div class="head">
        <h1 class="grow">Account</h1>
        <Badge tone="accent">{ROLES[authority.value ?? ""] ?? ""}</Badge>
      </div>
      <div class="stack">
        <Password />
        <Keys />
        {is("TENANT_ADMIN") && (
          <section class="stack">
            <h2>People</h2>
            <People path="/api/users" draft={{ authority: "TENANT_ADMIN" }} />
          </section>
        )}
      </div>
    </>
  );
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const { busy, error, run } = useDeed();
  const change = () =>
    run(async () => {
      const answer = await request("POST", "/api/auth/changePassword", { currentPassword: current, newPassword: next });
      const body = await answer.json().catch(() => null);
      if (body?.token) keep(body);
      setCurrent("");
      setNext("");
      say("Your password is changed; other sessions of yours are signed out.");
    });
  return (
    <Panel title={claims.value?.sub}>
      <form
        class="stack narrow"
        onSubmit={(event) => {
          event.preventDefault();
          void change();
        }}
      >
        <div class="columns">
          <TextField label="Current password" type="password" autoComplete="current-password" required value={current} onText={setCurrent} />
          <TextField label="New password" type="password" autoComplete="new-password" required value={next} onText={setNext} />
        </div>
        {error && <Notice tone="bad">{error}</Notice>}
        <div class="row">
          <Button type="submit" busy={busy} disabled={!current || !next}>
            Change password
          </Button>
        </div>
      </form>
    </Panel>
  );
}

interface Key {
  id: Id;
  createdTime: number;
  description: string;
  enabled: boolean;
  expired: boolean;
  expirationTime: number;
}

function Keys() {
  const [round, setRound] = useState(0);
  const [making, setMaking] = useState(false);
  const [value, setValue] = useState<string>();
  const user = claims.value?.userId ?? "";
  const changed = () => setRound((n) => n + 1);
  const act = (deed: Promise<unknown>) => deed.then(changed, (error: Error) => say(error.message, true));
  return (
    <section class="stack">
      <h2>API keys</h2>
      <Listing<Key>
        path={`/api/apiKeys/${user}`}
        what="API key"
        round={round}
        keyOf={(row) => row.id.id}
        empty={<Empty title="No API keys">A key lets a program act with your rights, without your password.</Empty>}
        actions={
          <Button small icon="plus" onClick={() => setMaking(true)}>
            New key
          </Button>
        }
        columns={[
          { name: "For", show: (row) => <b class="name">{row.description}</b> },
          { name: "State", show: (row) => (row.expired ? <Badge tone="bad">Expired</Badge> : row.enabled ? <Badge tone="good">Enabled</Badge> : <Badge>Disabled</Badge>) },
          { name: "Ends", wide: true, show: (row) => (row.expirationTime ? moment(row.expirationTime, false) : <span class="faint">never</span>) },
          { name: "Made", wide: true, show: (row) => <Ago at={row.createdTime} /> },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                <Button small onClick={() => void act(put(`/api/apiKey/${row.id.id}/enabled/${!row.enabled}`))}>
                  {row.enabled ? "Disable" : "Enable"}
                </Button>
                <Button small kind="quiet" icon="trash" aria-label={`Delete the key ${row.description}`} onClick={() => void act(remove(`/api/apiKey/${row.id.id}`))} />
              </div>
            ),
          },
        ]}
      />
      {making && <NewKey user={user} onClose={() => setMaking(false)} onDone={(made) => (changed(), setValue(made))} />}
      {value && (
        <Dialog title="The new key" onClose={() => setValue(undefined)}>
          <Notice tone="warn">It is shown this once. Only a hash of it is kept.</Notice>
          <Code text={value} />
          <p class="dim">
            Programs send it as <code>X-Authorization: ApiKey ...</code>
          </p>
        </Dialog>
      )}
    </section>
  );
}

const DAYS = ["0", "30", "90", "365"].map((value) => ({ value, label: value === "0" ? "Never" : `In ${value} days` }));

function NewKey({ user, onClose, onDone }: { user: string; onClose: () => void; onDone: (value: string) => void }) {
  const [description, setDescription] = useState("");
  const [days, setDays] = useState("90");
  const { busy, error, run } = useDeed();
  const make = () =>
    run(async () => {
      const expirationTime = days === "0" ? 0 : Date.now() + Number(days) * 86_400_000;
      const body = { userId: { entityType: "USER", id: user }, description: description.trim(), enabled: true, expirationTime };
      const made = await post<{ value: string }>("/api/apiKey", body);
      onClose();
      onDone(made.value);
    });
  return (
    <Dialog title="New API key" onClose={onClose} onSubmit={() => void make()}>
      <TextField label="What it is for" required autofocus value={description} onText={setDescription} />
      <Select label="Ends" value={days} onPick={setDays} options={DAYS} />
      {error && <Notice tone="bad">{error}</Notice>}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="first" type="submit" busy={busy}>
          Make
        </Button>
      </footer>
    </Dialog>
  );
}
