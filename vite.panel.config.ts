import { defineConfig } from "vite"

// Verification in the browser, as assets that the research page loads by their address: `research/` imports nothing of
// `verify/`. Names without a hash, since they are asked for by name.
export default defineConfig({
  root: "verify/page",
  base: "./",
  publicDir: false,
  logLevel: "warn",
  worker: { format: "es", rolldownOptions: { output: { entryFileNames: "[name]-[hash].js" } } },
  build: {
    outDir: "../../dist/verify/page",
    emptyOutDir: true,
    target: "es2023",
    modulePreload: false,
    rolldownOptions: {
      input: { panel: "verify/page/served.ts", look: "verify/page/look.css" },
      // The page imports what the panel exports; without this, a build of entries drops exports.
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name]-[hash].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
})
