// Moments, spans and sizes as people read them.

const STEPS: [limit: number, per: number, unit: string][] = [
  [60_000, 1_000, "s"],
  [3_600_000, 60_000, "min"],
  [86_400_000, 3_600_000, "h"],
  [Infinity, 86_400_000, "d"],
];

export function span(ms: number): string {
  const size = Math.abs(ms);
  const [, per, unit] = STEPS.find(([limit]) => size < limit) ?? STEPS[3]!;
  return `${Math.floor(size / per)} ${unit}`;
}

export function ago(at: number | null | undefined, now: number): string {
  if (!at) return "never";
  if (Math.abs(now - at) < 1_500) return "now";
  return at > now ? `in ${span(at - now)}` : `${span(now - at)} ago`;
}

const pad = (n: number, width = 2) => String(n).padStart(width, "0");

// 2026-11-25 21:03:07.123, in the zone of this browser.
export function moment(at: number, millis = true): string {
  const d = new Date(at);
  const day = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  return `${day} ${clock(at, millis)}`;
}

export function clock(at: number, millis = true): string {
  const d = new Date(at);
  const time = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  return millis ? `${time}.${pad(d.getMilliseconds(), 3)}` : time;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = n;
  let unit = "B";
  for (const next of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

// What the tab of the browser says.
export function titled(name: string | undefined) {
  document.title = name ? `${name} - Thingport` : "Thingport";
}

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (n: number) => plain.format(n);

export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
