// Who is signed in: a pair of tokens, kept in this browser until it signs out or the pair expires.

import { computed, signal } from "@preact/signals";

export type Authority = "SYS_ADMIN" | "TENANT_ADMIN" | "CUSTOMER_USER";

interface Tokens {
  token: string;
  refreshToken: string;
}

interface Claims {
  sub: string;
  userId: string;
  scopes: Authority[];
  tenantId: string;
  customerId: string;
  exp: number;
}

export const UNREACHABLE = "The server does not answer. It may be restarting, or the network is down.";

const KEY = "thingport.session";

const tokens = signal<Tokens | null>(stored());

export const claims = computed(() => (tokens.value ? claimsOf(tokens.value.token) : null));
export const signedIn = computed(() => claims.value !== null);
export const authority = computed(() => claims.value?.scopes[0] ?? null);

export const is = (...wanted: Authority[]) => authority.value !== null && wanted.includes(authority.value);

export function keep(next: Tokens | null) {
  tokens.value = next;
  try {
    if (next) localStorage.setItem(KEY, JSON.stringify(next));
    else localStorage.removeItem(KEY);
  } catch {
    // A browser that keeps nothing signs in again with each load.
  }
}

export async function signIn(username: string, password: string): Promise<void> {
  const response = await fetch("/api/auth/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ username, password }),
  }).catch(() => {
    throw new Error(UNREACHABLE);
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.message ?? `The server answered ${response.status}.`);
  keep(body);
}

export async function signOut(): Promise<void> {
  const { token } = tokens.value ?? {};
  keep(null);
  if (token) {
    await fetch("/api/auth/logout", { method: "POST", headers: bearer(token) }).catch(() => undefined);
  }
}

let refreshing: Promise<string | null> | null = null;

// The access token, a new one if less than half a minute is left of it. Null when nobody is signed in.
export async function token(force = false): Promise<string | null> {
  const held = tokens.value;
  if (!held) return null;
  const left = (claimsOf(held.token)?.exp ?? 0) * 1000 - Date.now();
  if (left > 30_000 && !force) return held.token;
  refreshing ??= refresh(held).finally(() => (refreshing = null));
  return refreshing;
}

export const bearer = (value: string) => ({ "X-Authorization": `Bearer ${value}` });

async function refresh(held: Tokens): Promise<string | null> {
  const response = await fetch("/api/auth/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ refreshToken: held.refreshToken }),
  });
  if (response.ok) {
    const next: Tokens = await response.json();
    keep(next);
    return next.token;
  }
  // Another window of this browser may have renewed or ended the session meanwhile.
  const other = stored();
  if (other && other.token !== held.token) {
    tokens.value = other;
    return other.token;
  }
  if (response.status === 401) keep(null);
  return null;
}

function stored(): Tokens | null {
  try {
    const text = localStorage.getItem(KEY);
    return text ? (JSON.parse(text) as Tokens) : null;
  } catch {
    return null;
  }
}

function claimsOf(jwt: string): Claims | null {
  try {
    const part = jwt.split(".")[1] ?? "";
    const bytes = Uint8Array.from(atob(part.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Claims;
  } catch {
    return null;
  }
}
