import { expect, it } from 'vitest';
import { en } from './en';
import { enAdmin } from './en.admin';
import { enDiag } from './en.diag';
import { enRoom } from './en.room';
import { zhCN } from './zh-CN';
import { zhCNAdmin } from './zh-CN.admin';
import { zhCNDiag } from './zh-CN.diag';
import { zhCNRoom } from './zh-CN.room';

interface Tree {
  readonly [key: string]: string | Tree;
}

/** Returns the path of every text with its placeholders. */
function placeholders(tree: Tree, path = ''): [string, string[]][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === 'string'
      ? [[`${path}${key}`, [...new Set(value.match(/\{\w+\}/g))].sort()]]
      : placeholders(value, `${path}${key}.`),
  );
}

it('fills the same things into both languages', () => {
  expect(placeholders(zhCN)).toEqual(placeholders(en));
  expect(placeholders(zhCNRoom)).toEqual(placeholders(enRoom));
  expect(placeholders(zhCNDiag)).toEqual(placeholders(enDiag));
  expect(placeholders(zhCNAdmin)).toEqual(placeholders(enAdmin));
});

it('says nothing twice, before the room and in it', () => {
  const first = placeholders(en).map(([path]) => path);
  expect(placeholders(enRoom).filter(([path]) => first.includes(path))).toEqual([]);
});
