// One WebSocket for all live data of the page. Subscriptions outlive the socket: after a break they are
// made again, and the page says meanwhile that what it shows may be old.

import { signal } from "@preact/signals";
import { token } from "./session";

export type Point = [ts: number, value: string];
export type Update = Record<string, Point[]>;
export type Line = "off" | "connecting" | "live" | "broken";

interface Subscription {
  command: Record<string, unknown>;
  // What ends it on the server.
  end: Record<string, unknown>;
  hear: (message: Message) => void;
  fail: (message: string) => void;
}

// An answer or an update; which members it has depends on the command.
interface Message {
  subscriptionId?: number;
  cmdId?: number;
  errorCode?: number;
  errorMsg?: string;
  data?: Update | null;
  [name: string]: unknown;
}

const LONGEST_PAUSE_MS = 15_000;

// How the socket is: pages show it beside what they show live.
export const line = signal<Line>("off");

const subscriptions = new Map<number, Subscription>();
let socket: WebSocket | null = null;
let nextId = 1;
let failures = 0;
let retry: ReturnType<typeof setTimeout> | undefined;

export interface Wanted {
  deviceId: string;
  // Latest telemetry, or one scope of attributes.
  of: "TELEMETRY" | "CLIENT_SCOPE" | "SHARED_SCOPE" | "SERVER_SCOPE";
  keys?: string[];
}

// Calls `tell` with the present values, then with each change, until the returned function is called.
export function watch(wanted: Wanted, tell: (update: Update) => void, fail: (message: string) => void = () => {}) {
  const telemetry = wanted.of === "TELEMETRY";
  const command = {
    type: telemetry ? "TIMESERIES" : "ATTRIBUTES",
    entityType: "DEVICE",
    entityId: wanted.deviceId,
    scope: telemetry ? "LATEST_TELEMETRY" : wanted.of,
    ...(wanted.keys ? { keys: wanted.keys.join(",") } : {}),
  };
  return subscribe(command, { ...command, unsubscribe: true }, (message) => message.data && tell(message.data), fail);
}

// Any other command that has updates: `end` is the command that ends it.
export function subscribe(command: Record<string, unknown>, end: Record<string, unknown>, hear: (message: Message) => void, fail: (message: string) => void) {
  const cmdId = nextId++;
  const subscription = { command: { ...command, cmdId }, end: { ...end, cmdId }, hear, fail };
  subscriptions.set(cmdId, subscription);
  if (socket?.readyState === WebSocket.OPEN && line.value === "live") say({ cmds: [subscription.command] });
  else open();
  return () => {
    subscriptions.delete(cmdId);
    if (socket?.readyState === WebSocket.OPEN && line.value === "live") say({ cmds: [subscription.end] });
    if (subscriptions.size === 0) setTimeout(closeIfIdle, 2_000);
  };
}

function say(message: unknown) {
  socket?.send(JSON.stringify(message));
}

function open() {
  if (socket || subscriptions.size === 0) return;
  clearTimeout(retry);
  line.value = "connecting";
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${location.host}/api/ws`);
  socket = opened;
  opened.onopen = async () => {
    const held = await token();
    if (socket !== opened || opened.readyState !== WebSocket.OPEN) return;
    if (!held) return opened.close();
    say({ authCmd: { cmdId: 0, token: held }, cmds: [...subscriptions.values()].map((each) => each.command) });
    line.value = "live";
  };
  opened.onmessage = (event) => {
    failures = 0;
    hear(JSON.parse(String(event.data)));
  };
  opened.onclose = () => {
    if (socket !== opened) return;
    socket = null;
    if (subscriptions.size === 0) {
      line.value = "off";
      return;
    }
    line.value = "broken";
    failures += 1;
    retry = setTimeout(open, Math.min(LONGEST_PAUSE_MS, 500 * 2 ** Math.min(failures, 5)));
  };
}

function hear(message: Message) {
  const subscription = subscriptions.get(message.subscriptionId ?? message.cmdId ?? -1);
  if (!subscription) return;
  if (message.errorCode) subscription.fail(message.errorMsg ?? "The subscription was refused.");
  else subscription.hear(message);
}

function closeIfIdle() {
  if (subscriptions.size > 0 || !socket) return;
  const idle = socket;
  socket = null;
  line.value = "off";
  idle.close();
}

// A laptop that was asleep, or a network that is back, need not wait for the next try.
addEventListener("online", open);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) open();
});
