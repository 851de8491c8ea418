/** Fails if the first load of a page, gzipped, exceeds the limit for slow connections. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';

const LIMIT_BYTES = 100_000;
const dist = resolve(import.meta.dirname, '../dist');
const manifest = JSON.parse(readFileSync(resolve(dist, '.vite/manifest.json'), 'utf8'));

/** Modules needed before a user can do something; of the two languages the larger one. */
const PAGES = {
  'index.html': ['src/ui/pages/LandingPage.vue', 'src/i18n/zh-CN.ts'],
  'r/index.html': ['src/ui/pages/RoomPage.vue', 'src/i18n/zh-CN.ts'],
};

function gather(key, files) {
  const { file, imports = [], css = [], assets = [] } = manifest[key];
  if (files.has(file)) return;
  for (const one of [file, ...css, ...assets]) files.add(one);
  for (const other of imports) gather(other, files);
}

function gzipped(file) {
  const path = resolve(dist, file);
  return statSync(existsSync(`${path}.gz`) ? `${path}.gz` : path).size;
}

for (const [page, wanted] of Object.entries(PAGES)) {
  const files = new Set([page, 'favicon.svg', 'guard.js']);
  // Both pages have the same script, which the manifest lists as a shared chunk.
  const start = Object.keys(manifest).filter((key) => /^_main-.+\.(js|css)$/.test(key));
  for (const key of [...start, ...wanted]) gather(key, files);
  const bytes = [...files].reduce((sum, file) => sum + gzipped(file), 0);
  console.log(`${page}: ${bytes} bytes gzipped, of ${LIMIT_BYTES} allowed`);
  if (bytes > LIMIT_BYTES) process.exitCode = 1;
}
