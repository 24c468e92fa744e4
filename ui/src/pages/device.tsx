// One device: what it says, what it is told, how it connects, and why something does not work.

import { lazy, useRoute } from "preact-iso";
import { useEffect } from "preact/hooks";
import { find, get } from "../lib/api";
import { useLoad } from "../lib/load";
import { titled } from "../lib/text";
import type { DeviceRow, Presence } from "../lib/types";
import { Ago, Badge, Bones, Copy, Dot, Failed } from "../parts/basic";
import { Tabs } from "../parts/tabs";

export interface TabProps {
  device: DeviceRow;
  presence?: Presence | undefined;
  // Asks for the device again, after a tab changed it.
  again: () => void;
}

// In the order of use.
const TABS = [
  { path: "", name: "Overview", show: lazy(() => import("./device/overview").then((module) => module.Overview)) },
  { path: "history", name: "History", show: lazy(() => import("./device/history").then((module) => module.History)) },
  { path: "attributes", name: "Attributes", show: lazy(() => import("./device/attributes").then((module) => module.Attributes)) },
  { path: "rpc", name: "RPC", show: lazy(() => import("./device/rpc").then((module) => module.Rpc)) },
  { path: "events", name: "Events", show: lazy(() => import("./device/events").then((module) => module.Events)) },
  { path: "trace", name: "Trace", show: lazy(() => import("./device/trace").then((module) => module.Trace)) },
  { path: "connect", name: "Connect", show: lazy(() => import("./device/connect").then((module) => module.Connect)) },
  { path: "credentials", name: "Credentials", show: lazy(() => import("./device/credentials").then((module) => module.CredentialsTab)) },
  { path: "browser", name: "Try it", show: lazy(() => import("./device/browser").then((module) => module.Browser)) },
  { path: "firmware", name: "Firmware", show: lazy(() => import("./device/firmware").then((module) => module.FirmwareTab)) },
  { path: "relations", name: "Relations", show: lazy(() => import("./device/relations").then((module) => module.Relations)) },
  { path: "settings", name: "Settings", show: lazy(() => import("./device/settings").then((module) => module.Settings)) },
];

export function Device() {
  const { params } = useRoute();
  const id = params["id"] ?? "";
  const device = useLoad((signal) => get<DeviceRow>(`/api/device/info/${id}`, {}, signal), [id], 15_000);
  const presence = useLoad(() => find<Presence>(`/api/thingport/devices/${id}/presence`), [id], 3_000);
  const name = device.value?.name;
  useEffect(() => titled(name), [name, params["tab"]]);
  const tab = TABS.find((each) => each.path === (params["tab"] ?? "")) ?? TABS[0]!;
  if (device.error && !device.value) return <Failed error={device.error} again={device.again} />;
  if (!device.value) return <Bones />;
  const Show = tab.show;
  return (
    <>
      <Heading device={device.value} presence={presence.value ?? undefined} stale={Boolean(presence.error ?? device.error)} />
      <Tabs label="Parts of the device" base={`/devices/${id}`} tabs={TABS} open={tab} />
      <Show device={device.value} presence={presence.value ?? undefined} again={device.again} />
    </>
  );
}

// Connected and reporting are two truths, and shown as two.
function Heading({ device, presence, stale }: { device: DeviceRow; presence: Presence | undefined; stale: boolean }) {
  const connected = presence?.connected;
  const reporting = presence?.reporting;
  return (
    <div class="head">
      <div class="grow">
        <div class="crumb">
          <a href="/devices">Devices</a> / {device.deviceProfileName}
        </div>
        <h1 class="row">
          {device.name}
          {device.additionalInfo?.gateway && <Badge tone="accent">Gateway</Badge>}
          {device.label && <span class="dim">{device.label}</span>}
        </h1>
      </div>
      {stale && <Badge tone="bad" title="The server does not answer; this is how it was a moment ago.">Not up to date</Badge>}
      {connected && (
        <Badge tone={connected.connected ? "good" : ""} title={connected.line ? `${connected.line.protocol} over ${connected.line.transport} from ${connected.line.address}` : ""}>
          <Dot tone={connected.connected ? "good" : ""} live={connected.connected} label="" />
          {connected.connected ? "Connected" : "Not connected"}
          <Ago at={connected.connected ? connected.lastConnectTime : connected.lastDisconnectTime} none="" />
        </Badge>
      )}
      {reporting && (
        <Badge tone={reporting.active ? "good" : "warn"}>
          {reporting.active ? "Reporting" : "Silent"}
          <Ago at={reporting.lastActivityTime} none="never heard" />
        </Badge>
      )}
      <Copy text={device.id.id} label="Copy the device's id" />
    </div>
  );
}
