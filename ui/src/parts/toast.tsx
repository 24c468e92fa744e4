// Brief words in a corner: what was done, or why not.

import { signal } from "@preact/signals";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const toasts = signal<Toast[]>([]);
let nextId = 0;

export function say(text: string, bad = false) {
  const id = nextId++;
  toasts.value = [...toasts.value.slice(-3), { id, text, bad }];
  setTimeout(() => (toasts.value = toasts.value.filter((each) => each.id !== id)), bad ? 9_000 : 4_000);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((each) => (
        <div key={each.id} class={`toast ${each.bad ? "bad" : ""}`}>
          {each.text}
        </div>
      ))}
    </div>
  );
}
