// Links that are pasted into the landing page.

import { expect, test } from './lib/test.js';

test('a link to another server opens there, and not a room of the same name here', async ({ person, server }) => {
  const there = `http://127.0.0.1:${server.port}/r/standup?audio=0`;
  const ada = await person('Ada');
  await ada.page.goto(server.url);
  await ada.page.locator('input[name=room]').fill(there);
  await ada.button('open').click();
  await expect(ada.page).toHaveURL(there);
  await expect(ada.button('join')).toBeVisible();

  // A link to something else is rejected.
  await ada.page.goto(server.url);
  await ada.page.locator('input[name=room]').fill('https://other.example/about/us');
  await ada.button('open').click();
  await expect(ada.page.getByRole('alert')).toContainText('not a valid meeting name or link');
  await expect(ada.page).toHaveURL(server.url);
});
