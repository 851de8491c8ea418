import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Upgrade } from './upgrade';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

test('a page asks once for each server that is another', () => {
  const upgrade = new Upgrade('1.0.0');
  expect(upgrade.welcome('1.0.0')).toBe(false);
  expect(upgrade.welcome('1.0.0')).toBe(false);
  expect(upgrade.welcome('1.1.0')).toBe(true);
  expect(upgrade.welcome('1.1.0')).toBe(false);
  expect(upgrade.welcome('1.0.0')).toBe(false);
});

test('a page that came from elsewhere, or has no version, asks for nothing that would not help', () => {
  const elsewhere = new Upgrade('0.9.0');
  expect(elsewhere.welcome('1.0.0')).toBe(false);
  expect(elsewhere.welcome('1.0.0')).toBe(false);
  const none = new Upgrade(undefined);
  none.welcome('1.0.0');
  expect(none.welcome('1.1.0')).toBe(false);
});

test('page and server have one version', () => {
  const [, server] = /^version = "(.+)"/m.exec(read('../../../Cargo.toml')) ?? [];
  const { version } = JSON.parse(read('../../package.json')) as { version: string };
  expect(version).toBe(server);
});
