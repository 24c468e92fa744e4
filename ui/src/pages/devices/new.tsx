import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { get, post } from "../../lib/api";
import { useDeed, useLoad } from "../../lib/load";
import type { Device, Page, ProfileName } from "../../lib/types";
import { Button, Dialog, Notice, Select, TextField } from "../../parts/basic";

export function NewDevice({ onClose }: { onClose: () => void }) {
  const { route } = useLocation();
  const [name, setName] = useState("");
  const [label, setLabel] = useState("");
  const [profile, setProfile] = useState("");
  const [gateway, setGateway] = useState(false);
  const profiles = useLoad((signal) => get<Page<ProfileName>>("/api/deviceProfileInfos", { pageSize: 100, page: 0, sortProperty: "name", sortOrder: "ASC" }, signal), []);
  const { busy, error, run } = useDeed();
  const create = () =>
    run(async () => {
      const body = {
        name: name.trim(),
        label: label.trim() || null,
        ...(profile ? { deviceProfileId: { entityType: "DEVICE_PROFILE", id: profile } } : {}),
        ...(gateway ? { additionalInfo: { gateway: true } } : {}),
      };
      const device = await post<Device>("/api/device", body);
      onClose();
      route(`/devices/${device.id.id}/connect`);
    });
  const options = (profiles.value?.data ?? []).map((each) => ({ value: each.id.id, label: each.name }));
  return (
    <Dialog title="New device" onClose={onClose} onSubmit={() => void create()}>
      <TextField label="Name" required autofocus value={name} onText={setName} hint="Unique among your devices." />
      <TextField label="Label" value={label} onText={setLabel} hint="What people call it. May stay empty." />
      <Select label="Profile" value={profile} onPick={setProfile} options={[{ value: "", label: "The default profile" }, ...options]} hint="How devices of this kind speak and prove who they are." />
      <label class="check">
        <input type="checkbox" checked={gateway} onChange={(event) => setGateway(event.currentTarget.checked)} />
        It is a gateway: it speaks for devices behind it
      </label>
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
