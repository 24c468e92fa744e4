// Light, dark, or what the system says.

import { signal } from "@preact/signals";

type Theme = "system" | "light" | "dark";

const KEY = "thingport.theme";

export const theme = signal<Theme>("system");

export function restore() {
  try {
    set((localStorage.getItem(KEY) as Theme | null) ?? "system");
  } catch {
    set("system");
  }
}

export function set(next: Theme) {
  theme.value = next;
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Then it lasts until the page is loaded again.
  }
}

// Whether dark colours are shown now.
export const isDark = () =>
  theme.value === "dark" || (theme.value === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
