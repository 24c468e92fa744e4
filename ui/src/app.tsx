// The frame around every screen, and the table of screens.

import { ErrorBoundary, LocationProvider, Route, Router, lazy, useLocation } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { titled } from "./lib/text";
import { authority, claims, signOut, signedIn, type Authority } from "./lib/session";
import { isDark, set as setTheme, theme } from "./lib/theme";
import { SignIn } from "./pages/sign-in";
import { Button, Empty } from "./parts/basic";
import { Icon, type IconName } from "./parts/icons";
import { Toasts } from "./parts/toast";

interface Place {
  path: string;
  name: string;
  icon: IconName;
  who: Authority[];
}

const TENANT: Authority[] = ["TENANT_ADMIN"];
const SYSTEM: Authority[] = ["SYS_ADMIN"];

const PLACES: Place[] = [
  { path: "/devices", name: "Devices", icon: "devices", who: ["TENANT_ADMIN", "CUSTOMER_USER"] },
  { path: "/tenants", name: "Tenants", icon: "customer", who: SYSTEM },
  { path: "/limits", name: "Limits", icon: "limit", who: SYSTEM },
  { path: "/profiles", name: "Profiles", icon: "profile", who: TENANT },
  { path: "/refusals", name: "Refusals", icon: "refused", who: ["SYS_ADMIN", "TENANT_ADMIN"] },
  { path: "/certificates", name: "Certificates", icon: "certificate", who: TENANT },
  { path: "/firmware", name: "Firmware", icon: "firmware", who: TENANT },
  { path: "/claim", name: "Claim a device", icon: "claim", who: ["CUSTOMER_USER"] },
  { path: "/customers", name: "Customers", icon: "customer", who: TENANT },
  { path: "/node", name: "Node", icon: "node", who: ["SYS_ADMIN", "TENANT_ADMIN"] },
  { path: "/account", name: "Account", icon: "people", who: ["SYS_ADMIN", "TENANT_ADMIN", "CUSTOMER_USER"] },
];

const Devices = lazy(() => import("./pages/devices").then((module) => module.Devices));
const Device = lazy(() => import("./pages/device").then((module) => module.Device));
const Refusals = lazy(() => import("./pages/refusals").then((module) => module.Refusals));
const Certificates = lazy(() => import("./pages/certificates").then((module) => module.Certificates));
const Node = lazy(() => import("./pages/node").then((module) => module.Node));
const Customers = lazy(() => import("./pages/customers").then((module) => module.Customers));
const Tenants = lazy(() => import("./pages/tenants").then((module) => module.Tenants));
const Limits = lazy(() => import("./pages/limits").then((module) => module.Limits));
const Account = lazy(() => import("./pages/account").then((module) => module.Account));
const Claim = lazy(() => import("./pages/claim").then((module) => module.Claim));
const Firmware = lazy(() => import("./pages/firmware").then((module) => module.Firmware));
const Profiles = lazy(() => import("./pages/profiles").then((module) => module.Profiles));
const Profile = lazy(() => import("./pages/profile").then((module) => module.Profile));

export function App() {
  return (
    <LocationProvider>
      {signedIn.value ? <Shell /> : <SignIn />}
      <Toasts />
    </LocationProvider>
  );
}

function Shell() {
  const [open, setOpen] = useState(false);
  return (
    <div class="shell">
      <div class="menu">
        <Brand />
        <Button small kind="quiet" icon="menu" aria-label="Menu" aria-expanded={open} onClick={() => setOpen(true)} />
      </div>
      <Side open={open} onClose={() => setOpen(false)} />
      <main class="main">
        <ErrorBoundary>
          <Router>
            <Route path="/" component={Start} />
            <Route path="/devices" component={Devices} />
            <Route path="/devices/:id/:tab?" component={Device} />
            <Route path="/profiles" component={Profiles} />
            <Route path="/profiles/:id/:part?" component={Profile} />
            <Route path="/refusals" component={Refusals} />
            <Route path="/certificates" component={Certificates} />
            <Route path="/node" component={Node} />
            <Route path="/customers" component={Customers} />
            <Route path="/tenants" component={Tenants} />
            <Route path="/limits" component={Limits} />
            <Route path="/account" component={Account} />
            <Route path="/claim" component={Claim} />
            <Route path="/firmware" component={Firmware} />
            <Route default component={Nowhere} />
          </Router>
        </ErrorBoundary>
      </main>
    </div>
  );
}

function Brand() {
  return (
    <a class="brand" href="/">
      <img src="/favicon.svg" alt="" />
      Thingport
    </a>
  );
}

function Side({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { path } = useLocation();
  useEffect(() => titled(PLACES.find((place) => path.startsWith(place.path))?.name), [path]);
  const mine = PLACES.filter((place) => authority.value && place.who.includes(authority.value));
  return (
    <nav class={`side ${open ? "open" : ""}`} aria-label="Screens" onClick={onClose}>
      <Brand />
      {mine.map((place) => (
        <a key={place.path} class="place" href={place.path} aria-current={path.startsWith(place.path) ? "page" : undefined}>
          <Icon name={place.icon} />
          {place.name}
        </a>
      ))}
      <div class="gap" />
      <div class="who" onClick={(event) => event.stopPropagation()}>
        <b title={claims.value?.sub}>{claims.value?.sub}</b>
        <div class="row">
          <Button small kind="quiet" icon={isDark() ? "sun" : "moon"} aria-label={theme.value === "dark" ? "Light colours" : "Dark colours"} onClick={() => setTheme(isDark() ? "light" : "dark")} />
          <Button small kind="quiet" icon="out" onClick={() => void signOut()}>
            Sign out
          </Button>
        </div>
      </div>
    </nav>
  );
}

// Each role begins where its work is.
function Start() {
  const { route } = useLocation();
  const first = PLACES.find((place) => authority.value && place.who.includes(authority.value));
  queueMicrotask(() => route(first?.path ?? "/account", true));
  return null;
}

function Nowhere() {
  return (
    <Empty title="There is no such screen">
      <a href="/">Go to the first one</a>
    </Empty>
  );
}
