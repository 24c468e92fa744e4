// Requests to the server. Every failure is an ApiError whose message can be shown as it is.

import { UNREACHABLE, bearer, keep, token } from "./session";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly body: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export const path = (base: string, query: Query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${base}?${text}` : base;
};

export async function get<T>(base: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return json(await request("GET", path(base, query), undefined, signal));
}

export async function post<T>(base: string, body?: unknown, query?: Query): Promise<T> {
  return json(await request("POST", path(base, query), body));
}

export async function put<T>(base: string, body?: unknown, query?: Query): Promise<T> {
  return json(await request("PUT", path(base, query), body));
}

export async function remove(base: string, query?: Query): Promise<void> {
  await request("DELETE", path(base, query));
}

// For a thing that may be missing: null instead of a 404.
export async function find<T>(base: string, query?: Query): Promise<T | null> {
  try {
    return await get<T>(base, query);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export async function request(method: string, url: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let response = await send(method, url, body, signal, false);
  // The session may have been renewed elsewhere, or the clock of this browser is wrong.
  if (response.status === 401) response = await send(method, url, body, signal, true);
  if (response.ok) return response;
  if (response.status === 401) keep(null);
  throw await errorOf(response);
}

async function send(method: string, url: string, body: unknown, signal: AbortSignal | undefined, force: boolean) {
  const held = await token(force);
  const headers: Record<string, string> = held ? { ...bearer(held) } : {};
  const init: RequestInit = { method, headers };
  if (signal) init.signal = signal;
  if (body instanceof FormData) init.body = body;
  else if (typeof body === "string") {
    headers["content-type"] = "text/plain";
    init.body = body;
  } else if (body !== undefined) {
    headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  try {
    return await fetch(url, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, UNREACHABLE);
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as Record<string, unknown>;
    return new ApiError(response.status, String(body["message"] ?? `The server answered ${response.status}.`), body);
  } catch {
    return new ApiError(response.status, text || `The server answered ${response.status}.`);
  }
}

async function json<T>(response: Response): Promise<T> {
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

// Lets the browser save what a route answers, under a name.
export async function download(url: string, name: string) {
  const response = await request("GET", url);
  saveAs(await response.blob(), name);
}

export function saveAs(content: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
