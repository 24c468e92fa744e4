// One device: what it says, what it is told, how it connects, and why something does not work.

import { lazy, useRoute } from "preact-iso";
import { find, get } from "../lib/api";
import { useLoad } from "../lib/load";
import type { DeviceRow, Presence } from "../lib/types";
import { Ago, Badge, Bones, Copy, Dot, Failed } from "../parts/basic";

export interface TabProps {
  device: DeviceRow;
  // Asks for the device again, after a tab changed it.
  again: () => void;
}

const TABS = [
  { path: "", name: "Overview", show: lazy(() => import("./device/overview").then((module) => module.Overview)) },
  { path: "history", name: "History", show: lazy(() => import("./device/history").then((module) => module.History)) },
  { path: "attributes", name: "Attributes", show: lazy(() => import("./device/attributes").then((module) => module.Attributes)) },
  { path: "rpc", name: "RPC", show: lazy(() => import("./device/rpc").then((module) => module.Rpc)) },
  { path: "credentials", name: "Credentials", show: lazy(() => import("./device/credentials").then((module) => module.CredentialsTab)) },
  { path: "connect", name: "Connect", show: lazy(() => import("./device/connect").then((module) => module.Connect)) },
  { path: "relations", name: "Relations", show: lazy(() => import("./device/relations").then((module) => module.Relations)) },
  { path: "browser", name: "Try it", show: lazy(() => import("./device/browser").then((module) => module.Browser)) },
  { path: "trace", name: "Trace", show: lazy(() => import("./device/trace").then((module) => module.Trace)) },
  { path: "events", name: "Events", show: lazy(() => import("./device/events").then((module) => module.Events)) },
];

export function Device() {
  const { params } = useRoute();
  const id = params["id"] ?? "";
  const device = useLoad((signal) => get<DeviceRow>(`/api/device/info/${id}`, {}, signal), [id], 15_000);
  const tab = TABS.find((each) => each.path === (params["tab"] ?? "")) ?? TABS[0]!;
  if (device.error && !device.value) return <Failed error={device.error} again={device.again} />;
  if (!device.value) return <Bones />;
  const Show = tab.show;
  return (
    <>
      <Heading device={device.value} />
      <nav class="tabs" aria-label="Parts of the device">
        {TABS.map((each) => (
          <a key={each.path} href={`/devices/${id}${each.path && `/${each.path}`}`} aria-current={each === tab ? "page" : undefined}>
            {each.name}
          </a>
        ))}
      </nav>
      <Show device={device.value} again={device.again} />
    </>
  );
}

// Connected and reporting are two truths, and shown as two.
function Heading({ device }: { device: DeviceRow }) {
  const presence = useLoad(() => find<Presence>(`/api/thingport/devices/${device.id.id}/presence`, {}), [device.id.id], 3_000);
  const connected = presence.value?.connected;
  const reporting = presence.value?.reporting;
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
