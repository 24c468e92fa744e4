// What a screen shows, kept in its address: a reload, a link and the way back find it again.

import { useState } from "preact/hooks";

type Texts = Record<string, string>;

// The values of `standard`, or those that the address names instead.
export function useAddress<T extends Texts>(standard: T): [value: T, change: (part: Partial<T>) => void] {
  const [value, setValue] = useState<T>(() => {
    const given = new URLSearchParams(location.search);
    return Object.fromEntries(Object.keys(standard).map((name) => [name, given.get(name) ?? standard[name]])) as T;
  });
  const change = (part: Partial<T>) =>
    setValue((before) => {
      const next = { ...before, ...part };
      const told = Object.entries(next).filter(([name, text]) => text !== standard[name]);
      const query = new URLSearchParams(told).toString();
      history.replaceState(history.state, "", location.pathname + (query && `?${query}`));
      return next;
    });
  return [value, change];
}
