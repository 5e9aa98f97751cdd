import { createHash } from "node:crypto"
import { type Plugin, defineConfig } from "vite"

// The offline verifier: one HTML file that opens from disk. Its worker is inlined by `?worker&inline`, its style, script
// and fonts by the plugin below.
export default defineConfig({
  root: "verify/page",
  base: "./",
  publicDir: false,
  logLevel: "warn",
  plugins: [inlineEverything()],
  worker: { format: "iife" },
  build: {
    outDir: "../../dist/verify/page",
    emptyOutDir: false,
    target: "es2023",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: Number.MAX_SAFE_INTEGER,
    rolldownOptions: { input: "verify/page/verifier.html" },
  },
})

/**
 * Moves the one script and the one style sheet into the page, and names their digests in its Content-Security-Policy:
 * nothing else runs there, and nothing can be fetched or sent.
 */
function inlineEverything(): Plugin {
  return {
    name: "inline-everything",
    enforce: "post",
    generateBundle(_options, bundle) {
      const page = Object.values(bundle).find(({ fileName }) => fileName.endsWith(".html"))
      if (page?.type !== "asset") throw new Error("the verifier's page was not built")
      let html = String(page.source)
      const digests = { script: "", style: "" }
      for (const file of Object.values(bundle)) {
        if (file.type === "chunk") {
          // In the text of a script, `</script` would end it.
          const code = file.code.replaceAll("</script", "<\\/script")
          const tag = new RegExp(`<script[^>]*src="[^"]*${escapePattern(file.fileName)}"[^>]*></script>`)
          if (!tag.test(html)) throw new Error(`the verifier's page has no place for ${file.fileName}`)
          // At the end of the body: an inline module is deferred all the same.
          html = html.replace(tag, "")
          html = html.replace("</body>", () => `<script type="module">${code}</script>\n  </body>`)
          digests.script = digestOf(code)
        } else if (file.fileName.endsWith(".css")) {
          const style = String(file.source)
          const tag = new RegExp(`<link[^>]*href="[^"]*${escapePattern(file.fileName)}"[^>]*>`)
          if (!tag.test(html)) throw new Error(`the verifier's page has no place for ${file.fileName}`)
          html = html.replace(tag, () => `<style>${style}</style>`)
          digests.style = digestOf(style)
        }
        if (file !== page) delete bundle[file.fileName]
      }
      if (digests.script === "" || digests.style === "")
        throw new Error("the verifier has no script or style")
      page.source = html
        .replaceAll("sha256-of-the-script", digests.script)
        .replaceAll("sha256-of-the-style", digests.style)
    },
  }
}

function digestOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`
}

function escapePattern(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")
}
