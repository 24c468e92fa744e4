// What may be wider than the window, or taller than its place: it moves by itself, also by the keyboard.

import type { ComponentChildren } from "preact";

interface ScrollProps {
  // What moves, for whoever does not see it.
  label: string;
  tall?: boolean;
  children: ComponentChildren;
}

export function Scroll({ label, tall, children }: ScrollProps) {
  return (
    <div class={`scroll ${tall ? "tall" : ""}`} tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
