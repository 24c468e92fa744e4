// Line icons of one weight, drawn for this page.

const ICONS = {
  devices: "M4 5h16v10H4zM9 19h6M12 15v4",
  profile: "M5 4h14v16H5zM9 8h6M9 12h6M9 16h3",
  certificate: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4",
  refused: "M12 4a8 8 0 100 16 8 8 0 000-16zM6.5 6.5l11 11",
  firmware: "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4",
  node: "M4 5h16v5H4zM4 14h16v5H4zM8 7.5h.01M8 16.5h.01",
  people: "M9 11a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM3 20c0-3.5 2.5-6 6-6s6 2.500 6 6M16 5a3 3 0 010 6M18 14.500c2 .8 3 2.800 3 5.500",
  customer: "M4 20V8l8-4 8 4v12M9 20v-5h6v5",
  claim: "M7 11l3 3 7-8M5 20h14",
  limit: "M4 17a8 8 0 1116 0M12 17l4-6",
  filter: "M4 6h16M7 12h10M10 18h4",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  copy: "M9 9h10v11H9zM5 15V4h10",
  done: "M5 13l4 4 10-11",
  search: "M11 4a7 7 0 100 14 7 7 0 000-14zM16 16l4 4",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  info: "M12 4a8 8 0 100 16 8 8 0 000-16zM12 11v5M12 8h.01",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  moon: "M20 14A8 8 0 1110 4a6.500 6.500 0 0010 10z",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  out: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  upload: "M12 16V5M7 9l5-5 5 5M5 20h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  edit: "M5 19h3L19 8l-3-3L5 16z",
  again: "M20 11a8 8 0 10-2.300 6M20 5v6h-6",
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" width="17" height="17">
      <path d={ICONS[name]} />
    </svg>
  );
}
