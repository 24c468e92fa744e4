// Device profiles: how a kind of device speaks, proves who it is, and where its data go.

import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { post, remove } from "../lib/api";
import { useDeed } from "../lib/load";
import { Ago, Badge, Button, Dialog, Empty, Notice, Question, Select, TextField } from "../parts/basic";
import { Listing } from "../parts/listing";
import { say } from "../parts/toast";
import { type Profile, newProfile, payloadOf } from "./profile/body";

export function Profiles() {
  const { route } = useLocation();
  const [round, setRound] = useState(0);
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Profile>();
  const changed = () => setRound(round + 1);
  const makeDefault = (row: Profile) => post(`/api/deviceProfile/${row.id!.id}/default`).then(changed, (error: Error) => say(error.message, true));
  return (
    <>
      <div class="head">
        <h1 class="grow">Profiles</h1>
        <Button kind="first" icon="plus" onClick={() => setCreating(true)}>
          New profile
        </Button>
      </div>
      <Listing<Profile>
        path="/api/deviceProfiles"
        what="profile"
        round={round}
        keyOf={(row) => row.id!.id}
        empty={<Empty title="No profiles" />}
        columns={[
          {
            name: "Name",
            show: (row) => (
              <span class="row">
                <a class="name" href={`/profiles/${row.id!.id}`}>
                  {row.name}
                </a>
                {row.default && <Badge tone="accent">Default</Badge>}
              </span>
            ),
          },
          { name: "Transport", show: (row) => row.transportType },
          { name: "Payload", wide: true, show: (row) => payloadOf(row) },
          { name: "Provisioning", wide: true, show: (row) => (row.provisionType === "DISABLED" ? <span class="faint">off</span> : row.provisionType.toLowerCase().replaceAll("_", " ")) },
          { name: "Created", wide: true, show: (row) => <Ago at={row.createdTime} /> },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                {!row.default && (
                  <Button small kind="quiet" onClick={() => void makeDefault(row)}>
                    Make default
                  </Button>
                )}
                {!row.default && <Button small kind="quiet" icon="trash" aria-label={`Delete ${row.name}`} onClick={() => setDeleting(row)} />}
              </div>
            ),
          },
        ]}
      />
      {creating && <New onClose={() => setCreating(false)} onDone={(id) => route(`/profiles/${id}`)} />}
      {deleting && <Delete profile={deleting} onClose={() => setDeleting(undefined)} onDone={changed} />}
    </>
  );
}

const TRANSPORTS = [
  { value: "DEFAULT", label: "Default: MQTT and HTTP, JSON" },
  { value: "MQTT", label: "MQTT: own topics, payload forms, Sparkplug" },
];

function New({ onClose, onDone }: { onClose: () => void; onDone: (id: string) => void }) {
  const [name, setName] = useState("");
  const [transport, setTransport] = useState("MQTT");
  const { busy, error, run } = useDeed();
  const create = () =>
    run(async () => {
      const made = await post<Profile>("/api/deviceProfile", newProfile(name.trim(), transport));
      onClose();
      onDone(made.id!.id);
    });
  return (
    <Dialog title="New profile" onClose={onClose} onSubmit={() => void create()}>
      <TextField label="Name" required autofocus value={name} onText={setName} hint="Shown as the type of its devices." />
      <Select label="Transport" value={transport} onPick={setTransport} options={TRANSPORTS} hint="Cannot change once devices use the profile." />
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

function Delete({ profile, onClose, onDone }: { profile: Profile; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/deviceProfile/${profile.id!.id}`);
      onDone();
      onClose();
    });
  return (
    <Question title={`Delete ${profile.name}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      A profile that devices use cannot be deleted.
    </Question>
  );
}
