// The example page, which works without Vue: two of them in a call.

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Server } from './lib/server.js';
import { expect, expectPictures, test } from './lib/test.js';

const STATIC = fileURLToPath(new URL('../../static', import.meta.url));

test('a page of one’s own on the core sees and is seen', async ({ person }) => {
  const dist = await mkdtemp(path(tmpdir(), 'roundtable-example-'));
  const vite = path(STATIC, 'node_modules/vite/bin/vite.js');
  const options = ['--base', './', '--outDir', dist, '--emptyOutDir', '--logLevel', 'error'];
  await promisify(execFile)(process.execPath, [vite, 'build', path(STATIC, 'example'), ...options]);
  const server = await new Server({ ROUNDTABLE_STATIC_DIR: dist }).start();

  const [ada, grace] = [await person('Ada'), await person('Grace')];
  for (const { page, name } of [ada, grace]) {
    await page.goto(server.url);
    await page.locator('[name=room]').fill('example');
    await page.locator('[name=name]').fill(name);
    await page.locator('#camera').check();
    await page.getByRole('button', { name: 'Join' }).click();
    await expect(page.locator('#state')).toHaveText('joined');
  }
  await expectPictures(ada, 'Grace');
  await expectPictures(grace, 'Ada');
  await grace.page.locator('#leave').click();
  await expect(grace.page.locator('#state')).toHaveText('left');
  await expect(ada.tiles).toHaveCount(0);

  await server.kill();
  await rm(dist, { recursive: true });
});
