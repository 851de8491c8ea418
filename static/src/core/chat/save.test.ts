import { afterEach, expect, test, vi } from 'vitest';
import { browserFiles } from './save';

afterEach(() => {
  vi.unstubAllGlobals();
});

test('what arrives is saved as bytes of no type, whatever it is called', async () => {
  const saved: Blob[] = [];
  const link = { click: () => undefined, download: '' };
  vi.stubGlobal('window', { setTimeout: () => 0 });
  vi.stubGlobal('document', { createElement: () => link });
  vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => {
    saved.push(blob as Blob);
    return 'blob:1';
  });
  const sink = await browserFiles.save('page.html');
  await sink?.write([new TextEncoder().encode('<script>')]);
  await sink?.close();
  expect(link.download).toBe('page.html');
  expect(saved.map(({ type }) => type)).toEqual(['application/octet-stream']);
  expect(await saved[0]?.text()).toBe('<script>');
});
