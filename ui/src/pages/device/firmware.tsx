// Firmware and software of one device: what it should have, what it has, and how far the update came.

import { useEffect, useState } from "preact/hooks";
import { find, get, post } from "../../lib/api";
import { type Point, watch } from "../../lib/live";
import { useDeed, useLoad } from "../../lib/load";
import { is } from "../../lib/session";
import { bytes } from "../../lib/text";
import type { Device, Id, Page } from "../../lib/types";
import { Ago, Badge, Bones, Button, Failed, LiveSign, Notice, Panel, Select } from "../../parts/basic";
import type { TabProps } from "../device";

interface Package {
  id: Id;
  title: string;
  version: string;
  dataSize: number | null;
  url: string | null;
}

interface Profile {
  name: string;
  firmwareId: Id | null;
  softwareId: Id | null;
}

type Kind = "FIRMWARE" | "SOFTWARE";

export function FirmwareTab({ device, again }: TabProps) {
  return (
    <div class="stack">
      <Update device={device} again={again} kind="FIRMWARE" title="Firmware" prefix="fw" member="firmwareId" />
      <Update device={device} again={again} kind="SOFTWARE" title="Software" prefix="sw" member="softwareId" />
    </div>
  );
}

interface UpdateProps extends TabProps {
  kind: Kind;
  title: string;
  prefix: "fw" | "sw";
  member: "firmwareId" | "softwareId";
}

function Update({ device, again, kind, title, prefix, member }: UpdateProps) {
  const profile = useLoad((signal) => get<Profile>(`/api/deviceProfile/${device.deviceProfileId.id}`, {}, signal), [device.deviceProfileId.id]);
  const wanted = device[member] ?? profile.value?.[member] ?? null;
  const held = useLoad(async () => (wanted ? await find<Package>(`/api/otaPackage/info/${wanted.id}`) : null), [wanted?.id]);
  const said = useSaid(device.id.id, prefix);
  if (profile.error) return <Failed error={profile.error} again={profile.again} />;
  if (held.error) return <Failed error={held.error} again={held.again} />;
  const text = (key: string) => said.get(key)?.[1];
  const current = [text(`current_${prefix}_title`), text(`current_${prefix}_version`)].filter(Boolean).join(" ");
  const target = [text(`target_${prefix}_title`), text(`target_${prefix}_version`)].filter(Boolean).join(" ");
  const state = text(`${prefix}_state`);
  const told = held.value ? target === `${held.value.title} ${held.value.version}` : false;
  return (
    <Panel title={title} actions={<LiveSign />}>
      {held.busy && !held.value ? (
        <Bones lines={2} />
      ) : (
        <div class="stack">
          <dl class="facts">
            <dt>Should have</dt>
            <dd>
              {held.value ? (
                <>
                  <b>{held.value.title}</b> <span class="mono">{held.value.version}</span>{" "}
                  <span class="faint">
                    {held.value.dataSize !== null && `${bytes(held.value.dataSize)}, `}
                    {device[member] ? "given to this device" : `by the profile ${profile.value?.name ?? ""}`}
                  </span>
                </>
              ) : (
                <span class="faint">no package</span>
              )}
            </dd>
            <dt>Has</dt>
            <dd>{current || <span class="faint">it did not say</span>}</dd>
          </dl>
          {held.value && !told && <Notice>The device was not told yet. Those of a profile are told a hundred in a minute.</Notice>}
          {held.value && told && state && <Ladder state={state} at={said.get(`${prefix}_state`)?.[0]} />}
          {state === "FAILED" && <Notice tone="bad">The update failed{text(`${prefix}_error`) ? `: ${text(`${prefix}_error`)}` : ". The device did not say why."}</Notice>}
          {is("TENANT_ADMIN") && <Assign device={device} again={again} kind={kind} member={member} title={title} />}
        </div>
      )}
    </Panel>
  );
}

const STEPS = ["QUEUED", "INITIATED", "DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"];

// How far it has come. Devices may leave steps out.
function Ladder({ state, at }: { state: string; at: number | undefined }) {
  const reached = STEPS.indexOf(state);
  return (
    <div class="stack tight">
      <div class="row">
        <Badge tone={state === "UPDATED" ? "good" : state === "FAILED" ? "bad" : "info"}>{state.toLowerCase()}</Badge>
        <span class="faint">
          <Ago at={at} />
        </span>
      </div>
      {reached >= 0 && (
        <ol class="ladder" aria-label="How far it has come">
          {STEPS.map((step, n) => (
            <li key={step} class={n <= reached ? "done" : ""}>
              {step.toLowerCase()}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

function Assign({ device, again, kind, member, title }: Omit<UpdateProps, "prefix">) {
  const own = device[member]?.id ?? "";
  const [chosen, setChosen] = useState(own);
  useEffect(() => setChosen(own), [own]);
  const { busy, error, run } = useDeed();
  const ready = useLoad((signal) => get<Page<Package>>(`/api/otaPackages/${device.deviceProfileId.id}/${kind}`, { pageSize: 100, page: 0, sortProperty: "createdTime", sortOrder: "DESC" }, signal), [device.deviceProfileId.id, kind]);
  const options = (ready.value?.data ?? []).map((each) => ({ value: each.id.id, label: `${each.title} ${each.version}` }));
  const save = () =>
    run(async () => {
      const fresh = await get<Device>(`/api/device/${device.id.id}`);
      await post("/api/device", { ...fresh, [member]: chosen ? { entityType: "OTA_PACKAGE", id: chosen } : null });
      again();
    });
  return (
    <div class="row">
      <Select bare label={`${title} of its own`} value={chosen} onPick={setChosen} options={[{ value: "", label: "As its profile says" }, ...options]} />
      <Button busy={busy} disabled={chosen === own} onClick={() => void save()}>
        Assign
      </Button>
      {ready.value?.data.length === 0 && (
        <span class="dim">
          No package is ready for this profile. <a href="/firmware">Add one</a>
        </span>
      )}
      {error && <Notice tone="bad">{error}</Notice>}
    </div>
  );
}

// What device and server said of the update, live.
function useSaid(deviceId: string, prefix: string) {
  const [said, setSaid] = useState<ReadonlyMap<string, Point>>(new Map());
  useEffect(() => {
    setSaid(new Map());
    const keys = ["state", "error"].map((key) => `${prefix}_${key}`).concat(["title", "version"].flatMap((key) => [`current_${prefix}_${key}`, `target_${prefix}_${key}`]));
    return watch({ deviceId, of: "TELEMETRY", keys }, (update) =>
      setSaid((before) => {
        const next = new Map(before);
        for (const [key, [point]] of Object.entries(update)) if (point && point[1] !== "") next.set(key, point);
        return next;
      }),
    );
  }, [deviceId, prefix]);
  return said;
}
