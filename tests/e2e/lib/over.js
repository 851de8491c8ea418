// What is opened over a room or beside it.

import { expect } from './test.js';

/** By the buttons that lead there, one after the other; for a host who is not alone. */
export const OVER_THE_ROOM = [
  ['more'],
  ['more', 'shortcuts'],
  ['more', 'devices'],
  ['more', 'quality'],
  ['more', 'record'],
  ['react'],
  ['invite'],
  ['people'],
  ['people', 'person-actions'],
  ['people', 'person-actions', 'remove'],
  ['chat'],
  ['link'],
  ['link', 'statistics'],
  ['link', 'safety'],
];

/** Opens each, lets it be looked at, and closes it again. */
export async function throughEach(person, look) {
  for (const path of OVER_THE_ROOM) {
    for (const action of path) {
      // What a narrow bar leaves to its menu is pressed where it is.
      await expect(person.button(action).first()).toBeAttached();
      await person
        .button(action)
        .first()
        .evaluate((element) => element.click());
    }
    const over = person.page.locator('dialog[open], :popover-open, [data-panel]');
    await expect(over.last()).toBeVisible();
    // What is opened may load first what is in it.
    await person.page.waitForLoadState('networkidle');
    await look(path.join(' → '));
    for (let left = await over.count(); left > 0; left = await over.count()) {
      await over.last().press('Escape');
      await expect(over).toHaveCount(left - 1);
    }
  }
}
