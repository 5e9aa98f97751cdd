import { defineConfig } from "vite"

// The page of the HTTP port. What it needs of `verify/` it loads by address; see vite.panel.config.ts.
export default defineConfig({
  root: "research/page",
  base: "/",
  publicDir: "public",
  logLevel: "warn",
  build: {
    outDir: "../../dist/research/page",
    emptyOutDir: true,
    target: "es2023",
    modulePreload: false,
    // Nothing inline as `data:`: the policy of the page allows files of its own only.
    assetsInlineLimit: 0,
  },
})
