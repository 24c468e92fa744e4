// What a page asks the server for: loading, there, or failed - and asked again when it is wanted.

import { useEffect, useRef, useState } from "preact/hooks";

export interface Loaded<T> {
  value: T | undefined;
  error: Error | undefined;
  // Whether an answer is on its way; `value` may be that of the question before.
  busy: boolean;
  again: () => void;
}

// Asks whenever one of `inputs` changes. An answer that comes too late is dropped.
export function useLoad<T>(ask: (signal: AbortSignal) => Promise<T>, inputs: unknown[], everyMs?: number): Loaded<T> {
  const [state, setState] = useState<{ value?: T; error?: Error; busy: boolean }>({ busy: true });
  const [round, setRound] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => ({ ...before, busy: true }));
    latest
      .current(abort.signal)
      .then((value) => !abort.signal.aborted && setState({ value, busy: false }))
      .catch((error: Error) => {
        if (!abort.signal.aborted) setState((before) => ({ ...before, error, busy: false }));
      });
    return () => abort.abort();
  }, [...inputs, round]);
  useEffect(() => {
    if (!everyMs) return;
    const timer = setInterval(() => document.hidden || setRound((n) => n + 1), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return { value: state.value, error: state.error, busy: state.busy, again: () => setRound((n) => n + 1) };
}

// A deed that takes a moment: whether it is under way, and how it failed.
export function useDeed(): {
  busy: boolean;
  error: string | undefined;
  run: (deed: () => Promise<void>) => Promise<boolean>;
  clear: () => void;
} {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const run = async (deed: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await deed();
      return true;
    } catch (failure) {
      setError((failure as Error).message);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run, clear: () => setError(undefined) };
}

// The value as it was when it last stayed the same for a while: what is typed asks once.
export function useSettled<T>(value: T, afterMs = 250): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), afterMs);
    return () => clearTimeout(timer);
  }, [value, afterMs]);
  return settled;
}

// The present, moving on: for texts such as "3 s ago".
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
