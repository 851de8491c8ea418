/** Fails when the first load of a page, gzipped, is larger than what a slow line should be asked for. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

const LIMIT_BYTES = 100_000;
const dist = resolve(import.meta.dirname, '../dist');

for (const page of ['index.html', 'r/index.html']) {
  const html = resolve(dist, page);
  const linked = [...readFileSync(html, 'utf8').matchAll(/(?:src|href)="([^"]+\.(?:js|css|svg))"/g)].map(
    (match) => resolve(dirname(html), match[1]),
  );
  const bytes = [html, ...linked].reduce(
    (sum, file) => sum + statSync(existsSync(`${file}.gz`) ? `${file}.gz` : file).size,
    0,
  );
  console.log(`${page}: ${bytes} bytes gzipped, of ${LIMIT_BYTES} allowed`);
  if (bytes > LIMIT_BYTES) process.exitCode = 1;
}
