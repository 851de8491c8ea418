// One person, two tabs.

import { Person, expect, test } from './lib/test.js';

test('a meeting that is open in another tab says so, before joining and in the meeting', async ({
  join,
  server,
}) => {
  const first = await join('Ada', 'twice');
  const page = await first.page.context().newPage();
  const second = await Person.at(page, 'Ada again');
  const noteOf = (person) => person.page.locator('[data-other-tab]');
  await page.goto(`${server.url}r/twice`);
  await expect(noteOf(second)).toContainText('in another tab of this browser');
  await expect(noteOf(first)).toHaveCount(0);
  await page.locator('input[name=name]').fill('Ada again');
  await second.button('join').click();
  await expect(noteOf(second)).toBeVisible();
  await expect(noteOf(first)).toBeVisible();
  await page.close();
  await expect(noteOf(first)).toHaveCount(0);

  // Another room, or a tab that is not in the meeting, does not count.
  const third = await Person.at(await first.page.context().newPage(), 'Ada elsewhere');
  await third.page.goto(`${server.url}r/twice`);
  await expect(noteOf(third)).toBeVisible();
  await first.button('leave').click();
  await expect(noteOf(third)).toHaveCount(0);
});
