// One profile, in parts. Each part changes the same draft; one save sends the whole.

import { lazy, useRoute } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { get, post } from "../lib/api";
import { useDeed, useLoad } from "../lib/load";
import { Badge, Bones, Button, Failed, Notice } from "../parts/basic";
import { Tabs } from "../parts/tabs";
import { say } from "../parts/toast";
import { type Profile as Body, payloadOf } from "./profile/body";

export interface PartProps {
  draft: Body;
  change: (next: Body) => void;
}

const PARTS = [
  { path: "", name: "Transport", show: lazy(() => import("./profile/transport").then((module) => module.TransportPart)) },
  { path: "schemas", name: "Schemas", show: lazy(() => import("./profile/schemas").then((module) => module.SchemasPart)) },
  { path: "provisioning", name: "Provisioning", show: lazy(() => import("./profile/provisioning").then((module) => module.ProvisioningPart)) },
  { path: "outside", name: "Forwarding and RPC", show: lazy(() => import("./profile/outside").then((module) => module.OutsidePart)) },
];

export function Profile() {
  const { params } = useRoute();
  const id = params["id"] ?? "";
  const loaded = useLoad((signal) => get<Body>(`/api/deviceProfile/${id}`, {}, signal), [id]);
  const [draft, setDraft] = useState<Body>();
  const { busy, error, run, clear } = useDeed();
  useEffect(() => setDraft(loaded.value), [loaded.value]);
  if (loaded.error && !draft) return <Failed error={loaded.error} again={loaded.again} />;
  if (!draft) return <Bones />;
  const changed = JSON.stringify(draft) !== JSON.stringify(loaded.value);
  const part = PARTS.find((each) => each.path === (params["part"] ?? "")) ?? PARTS[0]!;
  const save = () =>
    run(async () => {
      await post<Body>("/api/deviceProfile", draft);
      say("Saved. Devices that are connected follow at once.");
      loaded.again();
    });
  const Show = part.show;
  return (
    <>
      <div class="head">
        <div class="grow">
          <div class="crumb">
            <a href="/profiles">Profiles</a>
          </div>
          <h1 class="row">
            {draft.name}
            {draft.default && <Badge tone="accent">Default</Badge>}
            <Badge>{payloadOf(draft)}</Badge>
          </h1>
        </div>
        {changed && <Button onClick={() => (setDraft(loaded.value), clear())}>Undo</Button>}
        <Button kind="first" busy={busy} disabled={!changed} onClick={() => void save()}>
          Save
        </Button>
      </div>
      {error && (
        <div class="below">
          <Notice tone="bad">
            <pre class="wrap">{error}</pre>
          </Notice>
        </div>
      )}
      <Tabs label="Parts of the profile" base={`/profiles/${id}`} tabs={PARTS} open={part} />
      <Show draft={draft} change={setDraft} />
    </>
  );
}
