// Packages for devices: uploaded or by address, assigned to a profile, and how far the rollout has come.

import { useEffect, useState } from "preact/hooks";
import { download, get, post, remove } from "../lib/api";
import { useDeed, useLoad } from "../lib/load";
import { bytes, count, plural } from "../lib/text";
import type { Id, Page, ProfileName } from "../lib/types";
import { Ago, Badge, Bones, Button, Choice, Dialog, Empty, Failed, Field, Notice, Question, Select, TextField } from "../parts/basic";
import { Listing } from "../parts/listing";
import { say } from "../parts/toast";

interface Package {
  id: Id;
  createdTime: number;
  deviceProfileId: Id;
  type: "FIRMWARE" | "SOFTWARE";
  title: string;
  version: string;
  url: string | null;
  hasData: boolean;
  fileName: string | null;
  checksumAlgorithm: string | null;
  checksum: string | null;
  dataSize: number | null;
}

interface Profile {
  id: Id;
  name: string;
  firmwareId: Id | null;
  softwareId: Id | null;
}

export function Firmware() {
  const [round, setRound] = useState(0);
  const [adding, setAdding] = useState(false);
  const [rolling, setRolling] = useState<Package>();
  const [deleting, setDeleting] = useState<Package>();
  const profiles = useLoad((signal) => get<Page<Profile>>("/api/deviceProfiles", { pageSize: 100, page: 0 }, signal), [round]);
  const profileOf = (row: Package) => profiles.value?.data.find((each) => each.id.id === row.deviceProfileId.id);
  const rolled = (row: Package) => [profileOf(row)?.firmwareId?.id, profileOf(row)?.softwareId?.id].includes(row.id.id);
  const changed = () => setRound(round + 1);
  return (
    <>
      <div class="head">
        <h1 class="grow">Firmware</h1>
        <Button kind="first" icon="plus" onClick={() => setAdding(true)}>
          New package
        </Button>
      </div>
      <Listing<Package>
        path="/api/otaPackages"
        what="package"
        round={round}
        keyOf={(row) => row.id.id}
        empty={<Empty title="No packages yet">Upload a firmware, then roll it out to the devices of a profile.</Empty>}
        columns={[
          {
            name: "Package",
            show: (row) => (
              <span class="row">
                <b class="name">{row.title}</b>
                <span class="mono">{row.version}</span>
                {row.type === "SOFTWARE" && <Badge>Software</Badge>}
                {rolled(row) && <Badge tone="good">Rolled out</Badge>}
              </span>
            ),
          },
          { name: "Profile", show: (row) => profileOf(row)?.name ?? "-" },
          { name: "Content", wide: true, show: (row) => (row.url ? <span class="wrap">{row.url}</span> : row.hasData ? `${row.fileName}, ${bytes(row.dataSize ?? 0)}` : <Badge tone="warn">No data yet</Badge>) },
          { name: "Added", wide: true, show: (row) => <Ago at={row.createdTime} /> },
          {
            name: "",
            show: (row) => (
              <div class="row end">
                <Button small onClick={() => setRolling(row)}>
                  {rolled(row) ? "Progress" : "Roll out"}
                </Button>
                {row.hasData && <Button small kind="quiet" icon="download" aria-label={`Download ${row.title} ${row.version}`} onClick={() => void download(`/api/otaPackage/${row.id.id}/download`, row.fileName ?? row.title)} />}
                <Button small kind="quiet" icon="trash" aria-label={`Delete ${row.title} ${row.version}`} onClick={() => setDeleting(row)} />
              </div>
            ),
          },
        ]}
      />
      {adding && <New profiles={profiles.value?.data ?? []} onClose={() => setAdding(false)} onDone={changed} />}
      {rolling && <Rollout of={rolling} active={rolled(rolling)} onClose={() => setRolling(undefined)} onDone={changed} />}
      {deleting && <Delete of={deleting} onClose={() => setDeleting(undefined)} onDone={changed} />}
    </>
  );
}

const KINDS = [
  { value: "FIRMWARE", label: "Firmware" },
  { value: "SOFTWARE", label: "Software" },
];

const WAYS = [
  { value: "file", label: "Upload a file" },
  { value: "url", label: "By its address" },
];

function New({ profiles, onClose, onDone }: { profiles: ProfileName[]; onClose: () => void; onDone: () => void }) {
  const [title, setTitle] = useState("");
  const [version, setVersion] = useState("");
  const [type, setType] = useState("FIRMWARE");
  const [profile, setProfile] = useState(profiles[0]?.id.id ?? "");
  const [way, setWay] = useState("file");
  const [url, setUrl] = useState("");
  const [file, setFile] = useState<File>();
  const { busy, error, run } = useDeed();
  const create = () =>
    run(async () => {
      if (way === "file" && !file) throw new Error("Choose the file of the package.");
      const body = { title: title.trim(), version: version.trim(), type, deviceProfileId: { entityType: "DEVICE_PROFILE", id: profile }, ...(way === "url" ? { usesUrl: true, url: url.trim() } : {}) };
      const made = await post<Package>("/api/otaPackage", body);
      if (way === "file" && file) {
        const form = new FormData();
        form.set("file", file);
        try {
          await post(`/api/otaPackage/${made.id.id}`, form, { checksumAlgorithm: "SHA256" });
        } catch (failure) {
          // A package without its data is of no use to anybody.
          await remove(`/api/otaPackage/${made.id.id}`).catch(() => undefined);
          throw failure;
        }
      }
      say(`${title} ${version} is added.`);
      onDone();
      onClose();
    });
  return (
    <Dialog title="New package" onClose={onClose} onSubmit={() => void create()}>
      <div class="columns">
        <TextField label="Title" required autofocus value={title} onText={setTitle} />
        <TextField label="Version" required mono value={version} onText={setVersion} />
      </div>
      <div class="columns">
        <Select label="Kind" value={type} onPick={setType} options={KINDS} />
        <Select label="Profile" value={profile} onPick={setProfile} options={profiles.map((each) => ({ value: each.id.id, label: each.name }))} />
      </div>
      <Choice label="Content" value={way} onPick={setWay} options={WAYS} />
      {way === "file" ? (
        <Field label="File" hint={file ? `${file.name}, ${bytes(file.size)}` : "The checksum is made by the server."}>
          {(field) => <input class="input" type="file" {...field} onChange={(event) => setFile(event.currentTarget.files?.[0])} />}
        </Field>
      ) : (
        <TextField label="Address" type="url" required value={url} onText={setUrl} hint="Devices fetch it there themselves." />
      )}
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

interface Progress {
  devices: number;
  untold: number;
  states: Record<string, number>;
  failed: { deviceId: Id; name: string; error: string }[];
}

// A large fleet is not counted every few seconds.
const LARGE = 5_000;

function Rollout({ of, active, onClose, onDone }: { of: Package; active: boolean; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const [running, setRunning] = useState(active);
  const [large, setLarge] = useState(false);
  const waiting = useLoad((signal) => get<number>(`/api/devices/count/${of.type}/${of.deviceProfileId.id}`, {}, signal), [of.id.id]);
  const progress = useLoad((signal) => get<Progress>(`/api/thingport/packages/${of.id.id}/rollout`, {}, signal), [of.id.id, running], large ? 30_000 : 3_000);
  useEffect(() => setLarge((progress.value?.devices ?? 0) > LARGE), [progress.value]);
  const set = (on: boolean) =>
    run(async () => {
      const profile = await get<Record<string, unknown>>(`/api/deviceProfile/${of.deviceProfileId.id}`);
      const member = of.type === "FIRMWARE" ? "firmwareId" : "softwareId";
      await post("/api/deviceProfile", { ...profile, [member]: on ? of.id : null });
      setRunning(on);
      onDone();
    });
  return (
    <Dialog title={`${of.title} ${of.version}`} onClose={onClose}>
      <dl class="facts">
        <dt>Checksum</dt>
        <dd class="mono">{of.checksum ? `${of.checksumAlgorithm} ${of.checksum}` : "-"}</dd>
        <dt>A rollout to the profile reaches</dt>
        <dd>{waiting.value === undefined ? "-" : plural(waiting.value, "device")}, those without a package of their own</dd>
      </dl>
      {error && <Notice tone="bad">{error}</Notice>}
      {progress.error && <Failed error={progress.error} again={progress.again} stale={Boolean(progress.value)} />}
      {!progress.value && !progress.error && <Bones lines={2} />}
      {progress.value && <Standing of={progress.value} />}
      <footer>
        {running ? (
          <Button kind="danger" busy={busy} onClick={() => void set(false)}>
            Take back
          </Button>
        ) : (
          <Button kind="first" busy={busy} disabled={!of.hasData && !of.url} onClick={() => void set(true)}>
            Roll out to the profile
          </Button>
        )}
      </footer>
    </Dialog>
  );
}

function Standing({ of }: { of: Progress }) {
  if (of.devices === 0) return <p class="dim">No device has this package yet.</p>;
  const { UPDATED: done = 0, FAILED: failed = 0 } = of.states;
  const parts: [tone: string, name: string, n: number][] = [
    ["good", "updated", done],
    ["bad", "failed", failed],
    ["info", "under way", of.devices - of.untold - done - failed],
    ["", "not told yet", of.untold],
  ];
  const under = Object.entries(of.states).filter(([state]) => state !== "UPDATED" && state !== "FAILED");
  return (
    <div class="stack" aria-live="polite">
      <div class="meter" role="img" aria-label={parts.map(([, name, n]) => `${n} ${name}`).join(", ")}>
        {parts.map(([tone, name, n]) => n > 0 && <span key={name} class={tone} style={{ flexGrow: n }} />)}
      </div>
      <ul class="row">
        {parts.map(([tone, name, n]) => (
          <li key={name}>
            <span class={`dot ${tone}`} aria-hidden="true" /> <b>{count(n)}</b> {name}
          </li>
        ))}
      </ul>
      {under.length > 0 && <p class="dim">{under.map(([state, n]) => `${count(n)} ${state.toLowerCase()}`).join(", ")}</p>}
      {of.failed.length > 0 && (
        <ul class="stack tight">
          {of.failed.map((each) => (
            <li key={each.deviceId.id}>
              <a href={`/devices/${each.deviceId.id}/firmware`}>{each.name}</a> <span class="dim wrap">{each.error || "did not say why"}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Delete({ of, onClose, onDone }: { of: Package; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const yes = () =>
    run(async () => {
      await remove(`/api/otaPackage/${of.id.id}`);
      onDone();
      onClose();
    });
  return (
    <Question title={`Delete ${of.title} ${of.version}?`} deed="Delete" busy={busy} error={error} onYes={() => void yes()} onClose={onClose}>
      Devices that have it keep it; nobody can download it any more.
    </Question>
  );
}
