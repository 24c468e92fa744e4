// Packages for devices: uploaded or by address, assigned to a profile, and how far the rollout has come.

import { useState } from "preact/hooks";
import { download, get, post, remove } from "../lib/api";
import { useDeed, useLoad } from "../lib/load";
import { bytes } from "../lib/text";
import type { Id, Page, ProfileName } from "../lib/types";
import { Ago, Badge, Button, Choice, Dialog, Empty, Field, Notice, Question, Select, TextField } from "../parts/basic";
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

interface StateCount {
  state: string;
  devices: number;
}

const STATES = ["QUEUED", "INITIATED", "DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED", "FAILED"];

function Rollout({ of, active, onClose, onDone }: { of: Package; active: boolean; onClose: () => void; onDone: () => void }) {
  const { busy, error, run } = useDeed();
  const [running, setRunning] = useState(active);
  const waiting = useLoad((signal) => get<number>(`/api/devices/count/${of.type}/${of.deviceProfileId.id}`, {}, signal), [of.id.id]);
  const counts = useLoad((signal) => progress(of, signal), [of.id.id, running], running ? 3_000 : undefined);
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
        <dt>Devices without a package of their own</dt>
        <dd>{waiting.value ?? "-"}</dd>
      </dl>
      {error && <Notice tone="bad">{error}</Notice>}
      {running && (
        <ul class="stack" aria-live="polite">
          {(counts.value ?? []).map((each) => (
            <li key={each.state} class="row">
              <Badge tone={each.state === "UPDATED" ? "good" : each.state === "FAILED" ? "bad" : "info"}>{each.state.toLowerCase()}</Badge>
              <span>{each.devices}</span>
            </li>
          ))}
          {counts.value?.length === 0 && <li class="dim">No device has said anything yet.</li>}
        </ul>
      )}
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

// How many devices of the profile report which state of this kind of package.
async function progress(of: Package, signal: AbortSignal): Promise<StateCount[]> {
  void signal;
  const key = of.type === "FIRMWARE" ? "fw_state" : "sw_state";
  const counts = await Promise.all(
    STATES.map(async (state) => {
      const query = {
        entityFilter: { type: "deviceType", deviceTypes: [await nameOf(of.deviceProfileId.id)] },
        keyFilters: [{ key: { type: "TIME_SERIES", key }, valueType: "STRING", predicate: { type: "STRING", operation: "EQUAL", value: { defaultValue: state }, ignoreCase: false } }],
      };
      return { state, devices: await post<number>("/api/entitiesQuery/count", query) };
    }),
  );
  return counts.filter((each) => each.devices > 0);
}

const nameOf = async (profile: string) => (await get<{ name: string }>(`/api/deviceProfileInfo/${profile}`)).name;

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
