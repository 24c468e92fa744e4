// A line chart of several keys over time, on uPlot. Numbers and booleans are drawn; texts cannot be.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { theme } from "../lib/theme";
import { moment } from "../lib/text";

export interface Series {
  key: string;
  // Times in milliseconds, ascending.
  points: [ts: number, value: number][];
}

const COLOURS = ["#0d9488", "#d97706", "#4f6bed", "#db2777", "#65a30d", "#9333ea", "#0891b2", "#dc2626"];
const HEIGHT = 320;

export const colour = (n: number) => COLOURS[n % COLOURS.length]!;

export function Chart({ series, from, to, onZoom }: { series: Series[]; from: number; to: number; onZoom?: (from: number, to: number) => void }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const keys = series.map((each) => each.key).join("\n");

  useEffect(() => {
    const box = place.current!;
    const style = getComputedStyle(box);
    const ink = style.getPropertyValue("color");
    const line = getComputedStyle(document.body).getPropertyValue("border-color") || ink;
    const axis = { stroke: ink, grid: { stroke: "rgba(128,140,148,0.18)", width: 1 }, ticks: { stroke: line, width: 0 } };
    const made = new uPlot(
      {
        width: box.clientWidth,
        height: HEIGHT,
        ms: 1,
        scales: { x: { time: true } },
        legend: { live: true },
        cursor: { drag: { x: true, y: false, setScale: false } },
        axes: [axis, { ...axis, size: 64 }],
        series: [
          { label: "Time", value: (_, at) => (at === null ? "-" : moment(at)) },
          ...series.map((each, n) => ({ label: each.key, stroke: colour(n), width: 1.6, spanGaps: true, points: { show: each.points.length < 60, size: 4 } })),
        ],
        hooks: {
          setSelect: [
            (chart) => {
              const { left, width } = chart.select;
              if (width < 8) return;
              zoom.current?.(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
              chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            },
          ],
        },
      },
      joined(series),
      box,
    );
    plot.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height: HEIGHT }));
    fit.observe(box);
    return () => {
      fit.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [keys, theme.value]);

  useEffect(() => {
    plot.current?.batch(() => {
      plot.current?.setData(joined(series), false);
      plot.current?.setScale("x", { min: from, max: to });
    });
  }, [series, from, to, keys, theme.value]);

  return <div class="chart dim" ref={place} role="img" aria-label={`Chart of ${series.map((each) => each.key).join(", ")}`} />;
}

// uPlot wants one column of times for all keys, with gaps where a key has no point.
function joined(series: Series[]): uPlot.AlignedData {
  if (series.length === 0) return [[]];
  const tables = series.map((each): uPlot.AlignedData => [each.points.map(([at]) => at), each.points.map(([, value]) => value)]);
  return uPlot.join(tables);
}
