// The parts of a screen, as links. On a narrow screen the one that is open is moved into sight.

import { useEffect, useRef } from "preact/hooks";

interface Tab {
  path: string;
  name: string;
}

export function Tabs({ label, base, tabs, open }: { label: string; base: string; tabs: Tab[]; open: Tab }) {
  const row = useRef<HTMLElement>(null);
  useEffect(() => row.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [open.path]);
  return (
    <nav ref={row} class="tabs" aria-label={label}>
      {tabs.map((each) => (
        <a key={each.path} href={`${base}${each.path && `/${each.path}`}`} aria-current={each === open ? "page" : undefined}>
          {each.name}
        </a>
      ))}
    </nav>
  );
}
