import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Plugin, defineConfig } from "vite";

// `npm run dev` shows the page with the API of a server that runs already.
const server = process.env["THINGPORT_URL"] ?? "http://127.0.0.1:8080";

// Compressed once here instead of with each request. What does not get smaller stays as it is.
function compressed(): Plugin {
  let folder = "dist";
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => void (folder = config.build.outDir),
    closeBundle() {
      for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!file.isFile() || !/\.(html|js|css|svg|json)$/.test(file.name)) continue;
        const path = join(file.parentPath, file.name);
        const bytes = readFileSync(path);
        const zipped = gzipSync(bytes, { level: 9 });
        if (zipped.length < bytes.length * 0.9) writeFileSync(`${path}.gz`, zipped);
      }
    },
  };
}

export default defineConfig({
  base: "/",
  plugins: [compressed()],
  build: {
    outDir: process.env["UI_OUT"] ?? "dist",
    emptyOutDir: true,
    target: "es2022",
    assetsDir: "assets",
    // Nothing is inlined: the content security policy allows no inline script or style.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { proxy: { "/api": { target: server, ws: true }, "/mqtt": { target: server, ws: true }, "/metrics": server } },
});
