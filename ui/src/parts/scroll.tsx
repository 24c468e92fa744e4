// What may be wider than the window, or taller than its place: it moves by itself, also by the keyboard.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface ScrollProps {
  // What moves, for whoever does not see it.
  label: string;
  tall?: boolean;
  children: ComponentChildren;
}

export function Scroll({ label, tall, children }: ScrollProps) {
  const box = useRef<HTMLDivElement>(null);
  // A stop for the tabulator only while there is something to move.
  useEffect(() => {
    const held = box.current!;
    const look = () => {
      if (held.scrollWidth > held.clientWidth || held.scrollHeight > held.clientHeight) held.tabIndex = 0;
      else held.removeAttribute("tabindex");
    };
    const sight = new ResizeObserver(look);
    sight.observe(held);
    if (held.firstElementChild) sight.observe(held.firstElementChild);
    look();
    return () => sight.disconnect();
  }, []);
  return (
    <div ref={box} class={`scroll ${tall ? "tall" : ""}`} role="region" aria-label={label}>
      {children}
    </div>
  );
}
