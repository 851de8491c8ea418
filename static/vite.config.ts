import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import vue from '@vitejs/plugin-vue';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** A room's address `r/<room>` is answered with the page `r/index.html`, as the server does it. */
function roomAddresses(): Plugin {
  return {
    name: 'room-addresses',
    configureServer({ middlewares }) {
      middlewares.use((request, _response, next) => {
        if (/^\/r\/[^/?#]+$/.test(request.url?.split('?', 1)[0] ?? '')) request.url = '/r/index.html';
        next();
      });
    },
  };
}

/** Puts a `.br` and a `.gz` beside each text file, so that no server compresses at each request. */
function precompressed(): Plugin {
  return {
    name: 'precompressed',
    apply: 'build',
    enforce: 'post',
    // After Vite's own, which fills in what a dynamic import is to load beside its script.
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        for (const [fileName, file] of Object.entries(bundle)) {
          if (!/\.(js|css|html|svg|webmanifest)$/.test(fileName)) continue;
          const source = Buffer.from(file.type === 'chunk' ? file.code : file.source);
          const params = { [constants.BROTLI_PARAM_SIZE_HINT]: source.length };
          this.emitFile({
            type: 'asset',
            fileName: `${fileName}.br`,
            source: brotliCompressSync(source, { params }),
          });
          this.emitFile({
            type: 'asset',
            fileName: `${fileName}.gz`,
            source: gzipSync(source, { level: 9 }),
          });
        }
      },
    },
  };
}

export default defineConfig({
  // Relative addresses, so that the build works under any path.
  base: './',
  plugins: [vue(), roomAddresses(), precompressed()],
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  build: {
    target: 'es2022',
    // The Content-Security-Policy knows no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For scripts/size.js.
    manifest: true,
    rolldownOptions: { input: { landing: at('index.html'), room: at('r/index.html') } },
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
